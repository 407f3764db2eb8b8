// What also runs in a page, and what needs files.
export * from './index.browser.js';
export { inspectKeyFile, readKeyFile, writeKeyFile } from './key-file.js';
export { SanitizerState } from './sanitized/sanitizer-state.js';
