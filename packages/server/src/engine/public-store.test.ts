import { expect, it } from 'vitest';
import { PublicMemory } from './public-store.js';

it('gives what was put, keeps what is used, and stays within its room', async () => {
  const store = new PublicMemory(1000);
  const entry = (n: number) => new Uint8Array(300).fill(n);
  for (const n of [1, 2, 3]) store.put(`${n}`, entry(n));
  expect(await store.get('1')).toEqual(entry(1));
  store.put('4', entry(4));
  expect(await store.get('2')).toBeNull();
  for (const n of [1, 3, 4]) expect(await store.get(`${n}`)).toEqual(entry(n));
  expect(store.sizeBytes).toBe(900);
});

it('keeps the first bytes of a key, and nothing that would push everything else out', async () => {
  const store = new PublicMemory(1000);
  store.put('a', Uint8Array.of(1));
  store.put('a', Uint8Array.of(2));
  store.put('b', new Uint8Array(501));
  expect(await store.get('a')).toEqual(Uint8Array.of(1));
  expect(await store.get('b')).toBeNull();
  expect(store.sizeBytes).toBe(1);
});
