// Uploads of key sets that are broken off once each at a random byte: the connection is cut, or the server is killed.
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection, KeySets, uploadKeySet } from '@sotto/client';
import { decodeFrame, PART_BYTES } from '@sotto/protocol';
import { BreakingProxy } from '../../tests/fixtures/breaking-proxy.mjs';
import { KillableServer } from '../../tests/fixtures/killable-server.mjs';
import { newToken } from './recording.mjs';
import { quantile, round } from './statistics.mjs';

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/**
 * @param {{ kills: number, serverKillsEvery: number, keySizes?: readonly number[] }} options of `kills` uploads, each broken off
 *   once, every `serverKillsEvery`th kills the server, the others cut all connections.
 */
export async function uploadKills({
  kills,
  serverKillsEvery,
  keySizes = [PART_BYTES + 12_345, 1_000_003, PART_BYTES, 6 << 20],
}) {
  const folder = mkdtempSync(join(tmpdir(), 'sotto-soak-keys-'));
  const server = new KillableServer(folder, ['--mode', 'fhe', '--rate', '2000']);
  await server.start();
  const total = keySizes.reduce((sum, size) => sum + size, 0);
  const ratios = [];
  let sentBytes = 0;
  let serverKills = 0;
  let broken = 0;
  let wrongDigests = 0;
  try {
    for (let n = 1; n <= kills; n++) {
      const keys = keySizes.map((size) => randomBytes(size));
      const token = newToken();
      const id = randomBytes(16).toString('hex');
      const request = {
        ...{ modelDigest: '12'.repeat(32), refresh: 'client', parametersName: 'insecure-none' },
        ...{ parametersDigest: '34'.repeat(32), planDigest: '56'.repeat(32) },
        keys: keys.map((key, index) => ({ index, id: `key@${index}`, sizeBytes: key.length })),
      };
      let restarted = Promise.resolve();
      const onBreak = () => {
        broken++;
        if (n % serverKillsEvery !== 0) return proxy.breakAll();
        serverKills++;
        restarted = server.kill().then(() => server.start());
      };
      const proxy = new BreakingProxy(() => server.port, [randomInt(1, total)], onBreak);
      await proxy.start();
      const connection = new Connection(`http://127.0.0.1:${proxy.port}`);
      await uploadKeySet(connection, token, id, request, { makeKey: (index) => keys[index] });
      await restarted;
      const sent = proxy.sent;
      proxy.stop();
      sentBytes += sent;
      ratios.push(sent / total);
      for (const [index, key] of keys.entries()) {
        const response = await fetch(`${server.url}/v1/keysets/${id}/keys/${index}`, {
          headers: { authorization: `Bearer ${token}` },
        });
        const { payload } = decodeFrame(new Uint8Array(await response.arrayBuffer()), 'key');
        if (sha256(payload) !== sha256(key)) wrongDigests++;
      }
      await new KeySets(new Connection(server.url), token).remove(id);
    }
  } finally {
    await server.kill();
    rmSync(folder, { recursive: true });
  }
  return {
    ...{ kills: broken, serverKills, setBytes: total, wrongDigests },
    sentRatio: { mean: round(sentBytes / (kills * total), 4), worst: round(quantile(ratios, 1), 4) },
  };
}
