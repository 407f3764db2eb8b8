// Builds the float kernel; `--check` compares.
import { buildWasmModule } from '../../../scripts/wasm-module.mjs';

buildWasmModule(new URL('.', import.meta.url), 'matmul', 'Float kernel');
