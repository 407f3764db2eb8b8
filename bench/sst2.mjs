// SST-2 under word sanitizers: `--model a` is the mean of word vectors (sst2-mean-vectors.mjs), `--model b` the hidden states of a chat
// model (sst2-chat-model.mjs). Other options: see there.
const at = process.argv.indexOf('--model');
const model = at < 0 ? 'a' : process.argv[at + 1];
if (at >= 0) process.argv.splice(at, 2);
if (model !== 'a' && model !== 'b') {
  console.error('usage: npm run bench -- sst2 --model a|b [options]; see bench/README.md');
  process.exit(2);
}
await import(model === 'a' ? './sst2-mean-vectors.mjs' : './sst2-chat-model.mjs');
