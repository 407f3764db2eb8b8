"""Measures OpenFHE: one JSON line a row.

openfhe_rows.py micro REPEAT | openfhe_rows.py boot REPEAT    (threads: OMP_NUM_THREADS)
"""
import json, math, os, random, resource, sys, time
from importlib.metadata import version
import openfhe as o

threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
repeat = int(sys.argv[2])
base = {"peer": "openfhe", "version": version("openfhe"), "threads": threads}


def best(work, times=None):
    ms, cpu = math.inf, math.inf
    for _ in range(times or repeat):
        c, t = time.process_time(), time.perf_counter()
        out = work()
        ms = min(ms, (time.perf_counter() - t) * 1e3)
        cpu = min(cpu, (time.process_time() - c) * 1e3)
    return ms, cpu, out


def report(op, ms, cpu, **more):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000
    print(json.dumps({**base, "op": op, "ms": ms, "cpuMs": cpu, **more, "peakRssMB": peak}), flush=True)


def bits(got, want):
    errors = [abs(a - b) for a, b in zip(got, want)]
    rms = math.sqrt(sum(e * e for e in errors) / len(errors))
    return {"bits": -math.log2(rms), "bitsWorst": -math.log2(max(errors))}


def context(depth, digits, scaling, secret):
    p = o.CCParamsCKKSRNS()
    p.SetSecretKeyDist(secret)
    p.SetSecurityLevel(o.HEStd_128_classic)
    p.SetRingDim(1 << 16)
    p.SetScalingModSize(50)
    p.SetFirstModSize(60)
    p.SetScalingTechnique(scaling)
    p.SetKeySwitchTechnique(o.HYBRID)
    p.SetNumLargeDigits(digits)
    p.SetMultiplicativeDepth(depth)
    cc = o.GenCryptoContext(p)
    for feature in (o.PKE, o.KEYSWITCH, o.LEVELEDSHE, o.ADVANCEDSHE, o.FHE):
        cc.Enable(feature)
    limbs = depth + 1
    special = math.ceil((60 + 50 * (math.ceil(limbs / digits) - 1)) / 60)
    log_q = 60 + 50 * depth
    base.update(logN=16, logQP=log_q + 60 * special, weight=0, ephemeralWeight=0, ephemeralLogQP=0)
    return cc, 2 * digits * (limbs + special) * 8 * (1 << 16)


def micro():
    cc, key_bytes = context(23, 3, o.FIXEDMANUAL, o.UNIFORM_TERNARY)
    base["params"] = "N16 24x50, 3 digits"
    keys = cc.KeyGen()
    cc.EvalMultKeyGen(keys.secretKey)
    cc.EvalRotateKeyGen(keys.secretKey, list(range(1, 9)))
    n = 1 << 15
    x, y = ([random.uniform(-1, 1) for _ in range(n)] for _ in range(2))
    ms, cpu, plain = best(lambda: cc.MakeCKKSPackedPlaintext(x))
    report("encode", ms, cpu)
    ms, cpu, a = best(lambda: cc.Encrypt(keys.publicKey, plain))
    report("encrypt", ms, cpu)
    other = cc.MakeCKKSPackedPlaintext(y)
    b = cc.Encrypt(keys.publicKey, other)

    def decode(ct):
        out = cc.Decrypt(ct, keys.secretKey)
        return out.GetRealPackedValue()

    ms, cpu, got = best(lambda: decode(a))
    report("decode", ms, cpu, **bits(got, x))
    ms, cpu, out = best(lambda: cc.EvalRotate(a, 1))
    report("rotation", ms, cpu, **bits(decode(out), x[1:] + x[:1]), levelsOut=23, keyBytes=key_bytes)

    def hoisted():
        digits = cc.EvalFastRotationPrecompute(a)
        return [cc.EvalFastRotation(a, k, 1 << 17, digits) for k in range(1, 9)]

    ms, cpu, _ = best(hoisted)
    report("8 rotations hoisted", ms, cpu, levelsOut=23, keyBytes=8 * key_bytes)
    ms, cpu, out = best(lambda: cc.Rescale(cc.EvalMult(a, b)))
    want = [p * q for p, q in zip(x, y)]
    report("ct*ct+relin+rescale", ms, cpu, **bits(decode(out), want), levelsOut=22, keyBytes=key_bytes)
    ms, cpu, _ = best(lambda: cc.EvalMult(a, other))
    report("pt*ct", ms, cpu)


def boot():
    """The quickest and most precise of its modes: SlotsToCoeffs first, encapsulated secret (weights 192 and 32)."""
    depth, budget, n = 26, [3, 3], 1 << 15
    cc, key_bytes = context(depth, 5, o.FLEXIBLEAUTO, o.SPARSE_ENCAPSULATED)
    base["params"] = "N16 encapsulated, StC first, 50/60, {3,3}, 5 digits, 32768 real slots"
    base.update(weight=192, ephemeralWeight=32, ephemeralLogQP=120)
    ms, cpu, _ = best(lambda: cc.EvalBootstrapSetup(budget, [0, 0], n, 0, True, True), 1)
    report("bootstrap matrices", ms, cpu)
    keys = cc.KeyGen()

    def keygen():
        cc.EvalMultKeyGen(keys.secretKey)
        cc.EvalBootstrapKeyGen(keys.secretKey, n)

    ms, cpu, _ = best(keygen, 1)
    count = len(cc.GetExistingEvalAutomorphismKeyIndices(keys.secretKey.GetKeyTag())) + 1
    report("bootstrap keygen", ms, cpu, keyBytes=count * key_bytes)
    x = [random.uniform(-1, 1) for _ in range(n)]
    a = cc.Encrypt(keys.publicKey, cc.MakeCKKSPackedPlaintext(x, 1, depth - 1 - budget[1], None, n))
    ms, cpu, out = best(lambda: cc.EvalBootstrap(a))
    plain = cc.Decrypt(out, keys.secretKey)
    plain.SetLength(n)
    usable = depth - out.GetLevel() - (out.GetNoiseScaleDeg() - 1) - (budget[1] + 1)
    report("bootstrap", ms, cpu, **bits(plain.GetRealPackedValue(), x), levelsOut=usable, keyBytes=count * key_bytes)


{"micro": micro, "boot": boot}[sys.argv[1]]()
