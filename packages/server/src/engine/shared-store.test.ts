import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { makeSharedMemory, SharedStore } from './shared-store.js';

const bytes = (length: number, seed: number) =>
  Uint8Array.from({ length }, (_, i) => (seed * 31 + i * 7) % 251);

describe('a shared store', () => {
  it('gives back what was put in, to every view of the memory', () => {
    const memory = makeSharedMemory(1000);
    const [a, b] = [new SharedStore(memory), new SharedStore(memory)];
    expect(a.get('x')).toBeNull();
    a.put('x', bytes(101, 1));
    b.put('longer name', bytes(0, 2));
    a.put('x', bytes(7, 3));
    expect(b.get('x')).toEqual(bytes(101, 1));
    expect(a.get('longer name')).toEqual(new Uint8Array(0));
    expect(a.get('longer nam')).toBeNull();
  });

  it('forgets the oldest first, keeps what is read, and never gives wrong bytes', () => {
    const store = new SharedStore(makeSharedMemory(1000));
    store.put('kept', bytes(90, 77));
    for (let i = 0; i < 500; i++) {
      store.put(`entry ${i}`, bytes(20 + ((13 * i) % 150), i));
      expect(store.get(`entry ${i}`)).toEqual(bytes(20 + ((13 * i) % 150), i));
      expect(store.get('kept')).toEqual(bytes(90, 77));
    }
    expect(store.get('entry 0')).toBeNull();
    expect(store.get('entry 498')).toEqual(bytes(20 + ((13 * 498) % 150), 498));
    for (let i = 0; i < 500; i++) {
      store.put(`other ${i}`, bytes(20 + ((17 * i) % 150), i));
      for (let j = Math.max(0, i - 20); j < i; j++) {
        const old = store.get(`other ${j}`);
        if (old !== null) expect(old).toEqual(bytes(20 + ((17 * j) % 150), j));
      }
    }
  });

  it('leaves out what is too large', () => {
    const store = new SharedStore(makeSharedMemory(1000));
    store.put('small', bytes(10, 1));
    store.put('large', bytes(600, 2));
    expect(store.get('large')).toBeNull();
    expect(store.get('small')).toEqual(bytes(10, 1));
  });

  it('waits for a thread that holds it', async () => {
    const memory = makeSharedMemory(1000);
    const store = new SharedStore(memory);
    store.put('x', bytes(10, 1));
    Atomics.store(new Int32Array(memory), 0, 1);
    const code = `
      const { workerData } = require('node:worker_threads');
      const words = new Int32Array(workerData);
      setTimeout(() => { Atomics.store(words, 0, 0); Atomics.notify(words, 0); }, 50);`;
    const worker = new Worker(code, { eval: true, workerData: memory });
    expect(store.get('x')).toEqual(bytes(10, 1));
    await worker.terminate();
  });
});
