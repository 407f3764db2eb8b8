// Measures Lattigo: one JSON line a row.
//
//	lattigo micro LOGN LIMBS SPECIAL REPEAT THREADS
//	lattigo boot LOGSLOTS REPEAT THREADS
//
// Lattigo has no threads inside an operation: with two threads as many ciphertexts are worked on at once, and the time of a row is
// the wall time divided by their number.
package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/tuneinsight/lattigo/v6/circuits/ckks/bootstrapping"
	"github.com/tuneinsight/lattigo/v6/core/rlwe"
	"github.com/tuneinsight/lattigo/v6/ring"
	"github.com/tuneinsight/lattigo/v6/schemes/ckks"
)

type row struct {
	Peer       string   `json:"peer"`
	Version    string   `json:"version"`
	Op         string   `json:"op"`
	Params     string   `json:"params"`
	Threads    int      `json:"threads"`
	Ms         float64  `json:"ms"`
	CpuMs      float64  `json:"cpuMs"`
	Bits       *float64 `json:"bits"`
	BitsWorst  *float64 `json:"bitsWorst"`
	LevelsOut  *int     `json:"levelsOut"`
	LogN       int      `json:"logN"`
	LogQP      float64  `json:"logQP"`
	Weight     int      `json:"weight"`
	Ephemeral  int      `json:"ephemeralWeight"`
	LogQPEph   float64  `json:"ephemeralLogQP"`
	KeyBytes   *int     `json:"keyBytes"`
	PeakRssMB  int      `json:"peakRssMB"`
	Concurrent bool     `json:"concurrent,omitempty"`
}

var base row

func main() {
	number := func(i int) int {
		value, err := strconv.Atoi(os.Args[i])
		check(err)
		return value
	}
	base = row{Peer: "lattigo", Version: version()}
	switch os.Args[1] {
	case "micro":
		micro(number(2), number(3), number(4), number(5), number(6))
	case "boot":
		boot(number(2), number(3), number(4))
	default:
		panic("micro or boot")
	}
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if m.Path == "github.com/tuneinsight/lattigo/v6" {
			return m.Version
		}
	}
	return "unknown"
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func cpuMs() float64 {
	var u syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	ms := func(t syscall.Timeval) float64 { return float64(t.Sec)*1e3 + float64(t.Usec)/1e3 }
	return ms(u.Utime) + ms(u.Stime)
}

// Shortest of `repeat` runs of `work` on `threads` goroutines; for each of the simultaneous calls.
func best(repeat, threads int, work func(thread int)) (ms, cpu float64) {
	ms, cpu = math.Inf(1), math.Inf(1)
	for r := 0; r < repeat; r++ {
		cpuStart, start := cpuMs(), time.Now()
		var group sync.WaitGroup
		for t := 1; t < threads; t++ {
			group.Add(1)
			go func() { defer group.Done(); work(t) }()
		}
		work(0)
		group.Wait()
		ms = math.Min(ms, time.Since(start).Seconds()*1e3/float64(threads))
		cpu = math.Min(cpu, (cpuMs()-cpuStart)/float64(threads))
	}
	return
}

func report(op string, threads int, ms, cpu float64, fill func(*row)) {
	r := base
	r.Op, r.Threads, r.Ms, r.CpuMs, r.Concurrent = op, threads, ms, cpu, threads > 1
	if fill != nil {
		fill(&r)
	}
	var u syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	r.PeakRssMB = int(u.Maxrss / 1000)
	line, err := json.Marshal(r)
	check(err)
	fmt.Println(string(line))
}

func bits(r *row, got, want []complex128) {
	sum, worst := 0.0, 0.0
	for i := range got {
		for _, e := range []float64{real(got[i] - want[i]), imag(got[i] - want[i])} {
			sum += e * e
			worst = math.Max(worst, math.Abs(e))
		}
	}
	rms, most := -math.Log2(math.Sqrt(sum/float64(2*len(got)))), -math.Log2(worst)
	r.Bits, r.BitsWorst = &rms, &most
}

func vector(n int) []complex128 {
	v := make([]complex128, n)
	for i := range v {
		v[i] = complex(2*rand.Float64()-1, 2*rand.Float64()-1)
	}
	return v
}

func micro(logN, limbs, special, repeat, threads int) {
	logQ := []int{60}
	for i := 1; i < limbs; i++ {
		logQ = append(logQ, 50)
	}
	logP := make([]int, special)
	for i := range logP {
		logP[i] = 60
	}
	params, err := ckks.NewParametersFromLiteral(ckks.ParametersLiteral{
		LogN: logN, LogQ: logQ, LogP: logP, LogDefaultScale: 50, Xs: ring.Ternary{P: 2.0 / 3},
	})
	check(err)
	base.LogN, base.LogQP = logN, params.LogQP()
	base.Params = fmt.Sprintf("N%d %dx50 special %dx60", logN, limbs, special)
	kgen := rlwe.NewKeyGenerator(params)
	sk := kgen.GenSecretKeyNew()
	rotations := []int{1, 2, 3, 4, 5, 6, 7, 8}
	rlk := kgen.GenRelinearizationKeyNew(sk)
	gks := kgen.GenGaloisKeysNew(params.GaloisElements(rotations), sk)
	eval := ckks.NewEvaluator(params, rlwe.NewMemEvaluationKeySet(rlk, gks...))
	encoder := ckks.NewEncoder(params)
	encryptor := rlwe.NewEncryptor(params, sk)
	decryptor := rlwe.NewDecryptor(params, sk)
	keyBytes := rlk.BinarySize()

	values, other := vector(params.MaxSlots()), vector(params.MaxSlots())
	plain := ckks.NewPlaintext(params, params.MaxLevel())
	check(encoder.Encode(values, plain))
	a, err := encryptor.EncryptNew(plain)
	check(err)
	factor := ckks.NewPlaintext(params, params.MaxLevel())
	check(encoder.Encode(other, factor))
	b, err := encryptor.EncryptNew(factor)
	check(err)
	decode := func(ct *rlwe.Ciphertext) []complex128 {
		out := make([]complex128, params.MaxSlots())
		check(encoder.Decode(decryptor.DecryptNew(ct), out))
		return out
	}
	outs := make([]*rlwe.Ciphertext, threads)
	levels := params.MaxLevel()

	ringQ := params.RingQ()
	polys := make([]ring.Poly, threads)
	for t := range polys {
		polys[t] = *a.Value[0].CopyNew()
		outs[t] = ckks.NewCiphertext(params, 1, levels)
	}
	ms, cpu := best(3*repeat, threads, func(t int) { ringQ.NTT(polys[t], polys[t]) })
	report("ntt/limb", threads, ms/float64(limbs), cpu/float64(limbs), nil)

	ms, cpu = best(repeat, threads, func(t int) { check(eval.Rotate(a, 1, outs[t])) })
	report("rotation", threads, ms, cpu, func(r *row) {
		want := append(append([]complex128{}, values[1:]...), values[0])
		bits(r, decode(outs[0]), want)
		r.LevelsOut, r.KeyBytes = &levels, &keyBytes
	})
	ms, cpu = best(repeat, threads, func(t int) {
		_, err := eval.RotateHoistedNew(a, rotations)
		check(err)
	})
	report("8 rotations hoisted", threads, ms, cpu, func(r *row) {
		all := 8 * keyBytes
		r.LevelsOut, r.KeyBytes = &levels, &all
	})
	below := levels - 1
	products := make([]*rlwe.Ciphertext, threads)
	ms, cpu = best(repeat, threads, func(t int) {
		out, err := eval.MulRelinNew(a, b)
		check(err)
		check(eval.Rescale(out, out))
		products[t] = out
	})
	report("ct*ct+relin+rescale", threads, ms, cpu, func(r *row) {
		want := make([]complex128, len(values))
		for i := range want {
			want[i] = values[i] * other[i]
		}
		bits(r, decode(products[0]), want)
		r.LevelsOut, r.KeyBytes = &below, &keyBytes
	})
	ms, cpu = best(repeat, threads, func(t int) { check(eval.Mul(a, factor, outs[t])) })
	report("pt*ct", threads, ms, cpu, nil)
	if threads > 1 {
		return
	}
	ms, cpu = best(repeat, 1, func(int) { check(encoder.Encode(values, plain)) })
	report("encode", 1, ms, cpu, nil)
	ms, cpu = best(repeat, 1, func(int) { check(encryptor.Encrypt(plain, a)) })
	report("encrypt", 1, ms, cpu, nil)
	var got []complex128
	ms, cpu = best(repeat, 1, func(int) { got = decode(a) })
	report("decode", 1, ms, cpu, func(r *row) { bits(r, got, values) })
}

func boot(logSlots, repeat, threads int) {
	set := bootstrapping.N16QP1546H192H32
	params, err := ckks.NewParametersFromLiteral(set.SchemeParams)
	check(err)
	literal := set.BootstrappingParams
	literal.LogN, literal.LogP, literal.Xs = &set.SchemeParams.LogN, set.SchemeParams.LogP, set.SchemeParams.Xs
	literal.LogSlots = &logSlots
	bootParams, err := bootstrapping.NewParametersFromLiteral(params, literal)
	check(err)
	full := bootParams.BootstrappingParameters
	base.LogN, base.LogQP = full.LogN(), full.LogQP()
	base.Weight = full.XsHammingWeight()
	base.Ephemeral = bootParams.EphemeralSecretWeight
	base.LogQPEph = math.Log2(float64(full.Q()[0])) + math.Log2(float64(full.P()[0]))
	base.Params = fmt.Sprintf("N16QP1546H192H32, %d slots", 1<<logSlots)

	sk := rlwe.NewKeyGenerator(params).GenSecretKeyNew()
	var keys *bootstrapping.EvaluationKeys
	ms, cpu := best(1, 1, func(int) {
		keys, _, err = bootParams.GenEvaluationKeys(sk)
		check(err)
	})
	keyBytes := keys.BinarySize()
	report("bootstrap keygen", 1, ms, cpu, func(r *row) { r.KeyBytes = &keyBytes })
	var eval *bootstrapping.Evaluator
	ms, cpu = best(1, 1, func(int) {
		eval, err = bootstrapping.NewEvaluator(bootParams, keys)
		check(err)
	})
	report("bootstrap matrices", 1, ms, cpu, nil)

	encoder := ckks.NewEncoder(params)
	decryptor := rlwe.NewDecryptor(params, sk)
	encryptor := rlwe.NewEncryptor(params, sk)
	values := vector(1 << logSlots)
	plain := ckks.NewPlaintext(params, 0)
	plain.LogDimensions = ring.Dimensions{Rows: 0, Cols: logSlots}
	check(encoder.Encode(values, plain))
	for _, at := range []int{1, 2} {
		if at > threads {
			break
		}
		inputs, outs := make([]*rlwe.Ciphertext, at), make([]*rlwe.Ciphertext, at)
		for t := range inputs {
			inputs[t], err = encryptor.EncryptNew(plain)
			check(err)
		}
		ms, cpu = best(repeat, at, func(t int) {
			outs[t], err = eval.Bootstrap(inputs[t].CopyNew())
			check(err)
		})
		report("bootstrap", at, ms, cpu, func(r *row) {
			got := make([]complex128, len(values))
			check(encoder.Decode(decryptor.DecryptNew(outs[0]), got))
			bits(r, got, values)
			levels := outs[0].Level()
			r.LevelsOut, r.KeyBytes = &levels, &keyBytes
		})
	}
}
