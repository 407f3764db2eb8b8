// A process of its own: the server around an engine without mathematics. Prints its address; a number on
// standard input moves its clock, the end of it ends the process.
import { serve } from '@sotto/server';
import { startEngine } from '../../tests/fixtures/stand-in-engine.mjs';
import { standInModel } from './stand-in.mjs';

const { folder, clockMs = 0, ...options } = JSON.parse(process.argv[2]);

/** Wall clock of this process, ahead of the true one; a line on standard input moves it. */
let aheadMs = clockMs;
const TrueDate = Date;
globalThis.Date = class extends TrueDate {
  constructor(...args) {
    if (args.length > 0) super(...args);
    else super(TrueDate.now() + aheadMs);
  }

  static now() {
    return TrueDate.now() + aheadMs;
  }
};

const server = await serve({
  ...{ model: standInModel, modelPath: 'none', backend: 'auto', threads: 1, startEngine },
  ...{ keysFolder: folder, stateFolder: `${folder}/sessions`, requestsPerSecond: 1e6 },
  startTextModel: async () => ({
    async answer({ maxTokens }, { tokens }) {
      tokens(Array(Math.min(maxTokens, 4)).fill(1));
      return 'length';
    },
    async close() {},
  }),
  ...options,
});
console.log(JSON.stringify({ url: server.url }));
process.stdin
  .on('data', (line) => {
    aheadMs = Number(line);
  })
  .on('end', async () => {
    await server.close();
    process.exit(0);
  })
  .resume();
