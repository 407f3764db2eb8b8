// Bootstrapping with its set-up: keys, matrices, then the refresh itself.
import { Bootstrapper, bootstrapKeyList } from '@sotto/he/bootstrap';
import { N16_BOOT } from '@sotto/he/rlwe';
import { best } from './rows.mjs';
import { makeWorld, wave } from './world.mjs';

export function bootstrap(slots, options) {
  const w = makeWorld(N16_BOOT.name, options);
  const { params, ev, print } = w;
  const bootOptions = { slots: slots ?? params.maxSlots, babySteps: 4 };
  const named = { params: `${params.name}, ${bootOptions.slots} slots` };
  const keygen = best(1, () => {
    for (const { id, maxLevel } of bootstrapKeyList(params, bootOptions)) w.addKey(id, maxLevel);
  });
  const keyBytes = w.keys.sizeBytes;
  print('bootstrap keygen', keygen.times, { ...named, keyBytes });
  const matrices = best(1, () => new Bootstrapper(ev, bootOptions));
  print('bootstrap matrices', matrices.times, named);
  const boot = matrices.result;
  const z = wave(bootOptions.slots);
  const input = w.encrypt(z, boot.inputLevel);
  const refreshed = best(
    options.bootRepeat,
    () => boot.refreshNew(input),
    (a) => a.release(),
  );
  print('bootstrap', refreshed.times, {
    ...named,
    ...w.bitsOf(refreshed.result, z),
    levelsOut: boot.outputLevel - boot.inputLevel,
    keyBytes,
  });
  w.ring.dispose();
}
