import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { readModelFile } from '@sotto/model';
import { describe, expect, it, vi } from 'vitest';
import { calibrationOf, makeSetup, readCalibration, tinyTestModel, writeCalibration } from './index.js';

const { weights } = await readModelFile();

describe('a session setup', () => {
  it.each(['bootstrap', 'client'] as const)(
    'for refresh by %s is the same every time, secure, with exact keys',
    async (refresh) => {
      const setup = await makeSetup(weights, { refresh, parameters: 'secure' });
      const again = await makeSetup(weights, { refresh, parameters: 'secure' });
      expect(again.planDigest).toBe(setup.planDigest);
      expect(again.parameters.digest).toBe(setup.parameters.digest);
      expect(setup.parameters.security.bits).toBeGreaterThanOrEqual(128);
      expect(setup.parameters.name).not.toContain('insecure');
      const names = setup.keys.map(({ name }) => name);
      expect(new Set(names).size).toBe(names.length);
      const kinds = new Set(setup.keys.map(({ id }) => id.kind));
      expect(kinds.has('denseToSparse')).toBe(refresh === 'bootstrap');
      expect(
        setup.keys.filter(({ id }) => id.kind === 'denseToSparse').every(({ maxLevel }) => maxLevel === 0),
      ).toBe(true);
      const { rotations } = setup.plan.keys;
      const galois = setup.keys.filter(({ id }) => id.kind === 'galois');
      expect(galois.length).toBeGreaterThanOrEqual(rotations.length);
    },
  );

  it('for a toy says so in its name', async () => {
    const setup = await makeSetup(weights, { refresh: 'client', parameters: 'insecure-toy' });
    expect(setup.parameters.name).toContain('insecure');
    expect(setup.parameters.security.bits).toBeLessThan(128);
  });

  it('differs between refreshes and between models, and calibrates a model it does not know', async () => {
    const { model } = tinyTestModel(3, { contextLength: 24 });
    const request = { refresh: 'client', parameters: 'insecure-toy' } as const;
    const one = await makeSetup(model, request);
    expect(one.calibration.modelDigest).toBe(model.digest);
    expect(one.planDigest).not.toBe((await makeSetup(weights, request)).planDigest);
    expect(one.planDigest).not.toBe(
      (await makeSetup(model, { ...request, refresh: 'bootstrap' })).planDigest,
    );
  });

  it('has the same digest where Math rounds the last bit differently, and another for another calibration', async () => {
    const { model, calibration } = tinyTestModel(4, { contextLength: 24, layerCount: 1 });
    const folder = mkdtempSync(join(tmpdir(), 'sotto-setup-'));
    const calibrationPath = join(folder, 'one.json');
    writeFileSync(calibrationPath, writeCalibration(calibration));
    const request = { refresh: 'client', parameters: 'insecure-toy', calibrationPath } as const;
    const own = (await makeSetup(model, request)).planDigest;
    const exact = { cos: Math.cos, exp: Math.exp };
    let rounded = 0;
    for (const name of ['cos', 'exp'] as const) {
      vi.spyOn(Math, name).mockImplementation((x: number) => {
        rounded++;
        return exact[name](x) * (1 + 2 ** -52);
      });
    }
    const other = (await makeSetup(model, request)).planDigest;
    vi.restoreAllMocks();
    expect(rounded).toBeGreaterThan(10);
    expect(other).toBe(own);
    const { model: stranger, calibration: strange } = tinyTestModel(5, { contextLength: 24, layerCount: 1 });
    writeFileSync(calibrationPath, writeCalibration({ ...strange, modelDigest: model.digest }));
    expect((await makeSetup(model, request)).planDigest).not.toBe(own);
    expect(stranger.digest).not.toBe(model.digest);
    rmSync(folder, { recursive: true });
  });

  it('reads a calibration that is compressed, and refuses one that is cut off', async () => {
    const { model, calibration } = tinyTestModel(4, { contextLength: 24, layerCount: 1 });
    const folder = mkdtempSync(join(tmpdir(), 'sotto-setup-'));
    const path = join(folder, 'one.json.gz');
    const packed = gzipSync(writeCalibration(calibration));
    writeFileSync(path, packed);
    expect(await calibrationOf(model, { path })).toEqual(readCalibration(writeCalibration(calibration)));
    writeFileSync(path, packed.subarray(0, packed.length >> 1));
    await expect(calibrationOf(model, { path })).rejects.toThrow('CALIBRATION_INVALID');
    rmSync(folder, { recursive: true });
  });

  it('measures a model once, and again when what it kept is damaged', async () => {
    const { model } = tinyTestModel(4, { contextLength: 24 });
    let measured = 0;
    const once = await calibrationOf(model, { onMeasure: () => measured++ });
    expect(await calibrationOf(model, { onMeasure: () => measured++ })).toEqual(once);
    expect(measured).toBe(1);
    const folder = join(process.env.XDG_CACHE_HOME!, 'sotto', 'calibration');
    const [file] = (await readdir(folder)).filter((name) => name.startsWith(model.digest));
    await writeFile(join(folder, file!), '{"version":1}');
    expect(await calibrationOf(model, { onMeasure: () => measured++ })).toEqual(once);
    expect(measured).toBe(2);
  });
});
