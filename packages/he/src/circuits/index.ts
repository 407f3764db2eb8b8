export * from './linear/index.js';
export * from './polynomial/index.js';
