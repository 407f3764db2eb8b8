export * from './polynomial/index.js';
