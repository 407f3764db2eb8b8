// A process of its own: the server around an engine without mathematics. Prints its address; ends with its standard input.
import { serve } from '@sotto/server';
import { startEngine } from '../../tests/fixtures/stand-in-engine.mjs';
import { standInModel } from './stand-in.mjs';

const { folder, ...options } = JSON.parse(process.argv[2]);
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
  .on('end', async () => {
    await server.close();
    process.exit(0);
  })
  .resume();
