// Single operations at the level of a fresh ciphertext.
import { best } from './rows.mjs';
import { makeWorld, wave } from './world.mjs';

export function micro(set, options) {
  const w = makeWorld(set, options);
  const { params, context, ring, ev, repeat, print } = w;
  const level = params.freshLevel;
  const release = (a) => a.release();
  const relin = w.addKey({ kind: 'relin' }, level);
  const rotations = [1, 2, 3, 4, 5, 6, 7, 8];
  for (const k of rotations) w.addRotation(k, level);
  const keyBytes = relin.sizeBytes;
  const [x, y] = [wave(params.maxSlots), wave(params.maxSlots, 0.9)];
  const a = w.encrypt(x, level);
  const b = w.encrypt(y, level);

  const basis = context.levelBasis(level);
  const polynomial = ring.alloc(basis.size);
  ring.uniform(polynomial, new Uint8Array(32), 1, basis);
  const ntt = best(3 * repeat, () => ring.ntt(polynomial, basis)).times;
  const perLimb = (ms) => ms / basis.size;
  print(
    'ntt/limb',
    { ms: perLimb(ntt.ms), cpuMs: perLimb(ntt.cpuMs) },
    { params: `${params.name}, ${basis.size} limbs, log Q ${Math.round(params.levels[level].logQ)}` },
  );

  const at = {
    params: `${params.name} at level ${level}, log Q ${Math.round(params.levels[level].logQ)}`,
    keyBytes,
    levelsOut: level - params.bottomLevel,
  };
  const turned = (z, k) => ({
    re: z.re.map((_, i) => z.re[(i + k) % z.re.length]),
    im: z.im.map((_, i) => z.im[(i + k) % z.re.length]),
  });
  const rotation = best(repeat, () => ev.rotateNew(a, 1), release);
  print('rotation', rotation.times, { ...at, ...w.bitsOf(rotation.result, turned(x, 1)) });
  rotation.result.release();
  const hoisted = best(
    repeat,
    () => ev.rotateManyNew(a, rotations),
    (all) => all.forEach(release),
  );
  print('8 rotations hoisted', hoisted.times, {
    ...at,
    keyBytes: 8 * keyBytes,
    ...w.bitsOf(hoisted.result[7], turned(x, 8)),
  });
  hoisted.result.forEach(release);
  const product = best(repeat, () => ev.mulNew(a, b), release);
  const xy = {
    re: x.re.map((re, i) => re * y.re[i] - x.im[i] * y.im[i]),
    im: x.re.map((re, i) => re * y.im[i] + x.im[i] * y.re[i]),
  };
  print('ct*ct+relin+rescale', product.times, {
    ...at,
    levelsOut: at.levelsOut - 1,
    ...w.bitsOf(product.result, xy),
  });
  product.result.release();

  const encoded = best(
    repeat,
    () => ev.encode(y, level),
    (p) => ev.releasePlain(p),
  );
  const plain = encoded.result.load();
  const out = ring.alloc(2 * basis.size);
  const scaled = best(repeat, () => {
    ring.mul(out, a.c0, plain.at, basis);
    ring.mul(context.row(out, basis.size), a.c1, plain.at, basis);
  });
  print('pt*ct', scaled.times, { params: at.params });
  print('encode', encoded.times, { params: at.params });
  const coefficients = ev.encoder.embed(x, ev.scaleAt(level));
  const encrypted = best(repeat, () => w.encryptCoefficients(coefficients, level), release);
  print('encrypt', encrypted.times, { params: at.params });
  const decoded = best(repeat, () => w.decode(a));
  print('decode', decoded.times, { params: at.params, ...w.bitsOf(a, x) });
  ring.dispose();
}
