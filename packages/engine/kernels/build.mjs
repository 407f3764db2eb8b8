// Builds the kernel of feature products; `--check` compares.
import { buildWasmModule } from '../../../scripts/wasm-module.mjs';

buildWasmModule(new URL('.', import.meta.url), 'sums', 'Kernel of feature products');
