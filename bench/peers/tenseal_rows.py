"""Measures TenSEAL: one JSON line a row.  tenseal_rows.py REPEAT"""
import json, math, random, resource, sys, time
import tenseal as ts

repeat = int(sys.argv[1])
bits_of_primes = [60, 40, 40, 60]
base = {
    "peer": "tenseal", "version": ts.__version__, "threads": 1, "params": "N13 (60, 40, 40), special 60",
    "logN": 13, "logQP": sum(bits_of_primes), "weight": 0, "ephemeralWeight": 0, "ephemeralLogQP": 0,
}


def best(work, times):
    ms, cpu = math.inf, math.inf
    for _ in range(times):
        c, t = time.process_time(), time.perf_counter()
        out = work()
        ms = min(ms, (time.perf_counter() - t) * 1e3)
        cpu = min(cpu, (time.process_time() - c) * 1e3)
    return ms, cpu, out


def report(op, ms, cpu, got=None, want=None, **more):
    if got is not None:
        errors = [abs(a - b) for a, b in zip(got, want)]
        rms = math.sqrt(sum(e * e for e in errors) / len(errors))
        more |= {"bits": -math.log2(rms), "bitsWorst": -math.log2(max(errors))}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000
    print(json.dumps({**base, "op": op, "ms": ms, "cpuMs": cpu, **more, "peakRssMB": peak}), flush=True)


context = ts.context(ts.SCHEME_TYPE.CKKS, 8192, coeff_mod_bit_sizes=bits_of_primes, n_threads=1)
context.global_scale = 2.0**40
context.generate_galois_keys()
context.generate_relin_keys()
n = 4096
x, y = ([random.uniform(-1, 1) for _ in range(n)] for _ in range(2))
ms, cpu, a = best(lambda: ts.ckks_vector(context, x), repeat)
report("encode+encrypt", ms, cpu)
b = ts.ckks_vector(context, y)
ms, cpu, got = best(a.decrypt, repeat)
report("decode", ms, cpu, got, x)
ms, cpu, out = best(lambda: a * b, repeat)
report("ct*ct+relin+rescale", ms, cpu, out.decrypt(), [p * q for p, q in zip(x, y)], levelsOut=1)
d = 768
vector = [random.uniform(-1, 1) for _ in range(d)]
matrix = [[random.uniform(-1, 1) / 28 for _ in range(d)] for _ in range(d)]
v = ts.ckks_vector(context, vector)
ms, cpu, out = best(lambda: v.mm(matrix), 1)
want = [sum(vector[i] * matrix[i][j] for i in range(d)) for j in range(d)]
report("linear 768x768", ms, cpu, out.decrypt(), want, levelsOut=1)
