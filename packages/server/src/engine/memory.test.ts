import { expect, it } from 'vitest';
import { availableMemoryBytes, requireMemory } from './memory.js';

it('refuses a session that does not fit, with both numbers', () => {
  expect(availableMemoryBytes()).toBeGreaterThan(0);
  expect(() => requireMemory(1, 1)).not.toThrow();
  expect(() => requireMemory(3e9, 2e9)).toThrow(
    /neededMB: 3000[\s\S]*availableMB: 2000[\s\S]*MEMORY_INSUFFICIENT/,
  );
});
