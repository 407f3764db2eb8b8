import { SottoError } from '@sotto/base';
import type { Basis, Ptr, RingOptions } from '../../backend.js';
import { rootOfUnity } from '../../primes.js';
import { slotRoots } from '../../slot-transform.js';
import type { Kernels } from '../checked-ring.js';
import { ColdMemory } from '../cold-memory.js';
import { RowMemory } from '../row-memory.js';
import type { Functions, Machine } from './functions.js';

/** Words in which lists of addresses and constants are handed over. */
const STAGE_WORDS = 16384;
const BLOCK_BYTES = 65536;
/** Terms of one sum of the C kernel; see `sotto_mul_sum`. */
const SUM_TERMS = 16;
/** Copies of cold memory are made in portions of about this size, which stay in the cache of the processor until they are used. */
const COLD_COPY_BYTES = 2 ** 22;

interface PlacedBasis {
  at: number;
  size: number;
}

/** a*b with b in runs of equal words. */
interface Term {
  readonly a: Ptr;
  readonly b: Ptr;
  readonly run: number;
}

/** {@link Kernels} on the C library, WebAssembly and native alike: addresses, lists and cached plans. */
export class CompiledKernels implements Kernels {
  readonly memory: RowMemory;
  readonly cold: ColdMemory | null;
  readonly #machine: Machine;
  readonly #functions: Functions;
  readonly #n: number;
  readonly #rowBytes: number;
  readonly #ring: number;
  readonly #stage: number;
  readonly #bases: PlacedBasis[] = [];
  readonly #plans = new Map<string, number>();
  readonly #rowMaps = new Map<string, number>();
  #blockAt = 0;
  #blockLeft = 0;
  #scratchAt = 0;
  #scratchRows = 0;
  #roots: number | undefined;

  constructor(machine: Machine, { logN, primes }: RingOptions) {
    this.#machine = machine;
    this.#functions = machine.functions;
    this.#n = 2 ** logN;
    this.#rowBytes = 4 * this.#n;
    this.memory = new RowMemory({
      base: machine.base,
      rowBytes: this.#rowBytes,
      limitRows: Math.floor(machine.limitBytes / this.#rowBytes),
      commit: (rows) => machine.commit(rows * this.#rowBytes),
    });
    this.cold = machine.coldOutside ? new ColdMemory(this.#rowBytes) : null;
    this.#stage = this.#place(4 * STAGE_WORDS);
    const ringBytes = this.#functions.sotto_ring_bytes(logN, primes.length);
    this.#ring = this.#place(ringBytes);
    const roots = Uint32Array.from(primes, (q) => rootOfUnity(q, logN));
    const primesAt = this.#placeWords(Uint32Array.from(primes));
    const rootsAt = this.#placeWords(roots);
    this.#functions.sotto_ring_init(this.#ring, logN, primes.length, primesAt, rootsAt, machine.pool);
  }

  defineBasis(basis: Basis): void {
    this.#bases[basis.id] = { at: this.#placeWords(Uint32Array.from(basis.indices)), size: basis.size };
  }

  allocCold(rows: number): Ptr {
    if (this.cold !== null) {
      const at = this.cold.alloc(rows);
      this.memory.count(rows);
      return at;
    }
    const at = this.memory.alloc(rows, 'cold');
    if (this.#machine.coldFile?.map(at, rows * this.#rowBytes) === false) {
      this.memory.free(at);
      throw new SottoError('The disk has no room for cold memory.', {
        code: 'HE_OUT_OF_MEMORY',
        facts: { neededBytes: rows * this.#rowBytes },
        fix: 'Give the folder of the key file more room, or keep keys in memory.',
      });
    }
    return at;
  }

  free(at: Ptr): void {
    if (this.cold?.holds(at)) {
      this.memory.count(-this.cold.free(at));
      return;
    }
    const { rows, cold } = this.memory.free(at);
    if (cold) this.#machine.coldFile?.unmap(at, rows * this.#rowBytes);
  }

  dispose(): void {
    this.cold?.dispose();
    this.#machine.dispose();
  }

  write(at: Ptr, words: Uint32Array): void {
    if (this.cold?.holds(at)) this.cold.view(at, words.length).set(words);
    else this.#machine.write(at, new Uint8Array(words.buffer, words.byteOffset, words.byteLength));
  }

  read(at: Ptr, count: number): Uint32Array {
    if (this.cold?.holds(at)) return this.cold.view(at, count).slice();
    return this.#machine.read(at, count);
  }

  copy(out: Ptr, x: Ptr, basis: Basis): void {
    const { at, size } = this.#bases[basis.id]!;
    if (this.cold?.holds(out) || this.cold?.holds(x)) {
      const words = size * this.#n;
      this.#view(out, words).set(this.#view(x, words));
      return;
    }
    this.#functions.sotto_copy(this.#ring, out, x, at, size);
  }

  zero(out: Ptr, basis: Basis): void {
    const { at, size } = this.#bases[basis.id]!;
    this.#functions.sotto_zero(this.#ring, out, at, size);
  }

  select(out: Ptr, outBasis: Basis, x: Ptr, basis: Basis): void {
    this.#functions.sotto_select(this.#ring, out, x, this.#rowMap(outBasis, basis), outBasis.size);
  }

  ntt(x: Ptr, basis: Basis): void {
    const { at, size } = this.#bases[basis.id]!;
    this.#functions.sotto_ntt(this.#ring, x, at, size);
  }

  intt(x: Ptr, basis: Basis): void {
    const { at, size } = this.#bases[basis.id]!;
    this.#functions.sotto_intt(this.#ring, x, at, size);
  }

  add(out: Ptr, a: Ptr, b: Ptr, basis: Basis): void {
    const { at, size } = this.#bases[basis.id]!;
    this.#functions.sotto_add(this.#ring, out, a, b, at, size);
  }

  sub(out: Ptr, a: Ptr, b: Ptr, basis: Basis): void {
    const { at, size } = this.#bases[basis.id]!;
    this.#functions.sotto_sub(this.#ring, out, a, b, at, size);
  }

  neg(out: Ptr, a: Ptr, basis: Basis): void {
    const { at, size } = this.#bases[basis.id]!;
    this.#functions.sotto_neg(this.#ring, out, a, at, size);
  }

  toMontgomery(out: Ptr, a: Ptr, basis: Basis): void {
    const { at, size } = this.#bases[basis.id]!;
    this.#functions.sotto_to_montgomery(this.#ring, out, a, at, size);
  }

  mul(out: Ptr, a: Ptr, bMontgomery: Ptr, basis: Basis): void {
    if (this.cold?.holds(bMontgomery)) {
      this.mulSum(out, [a], [bMontgomery], basis, false);
      return;
    }
    const { at, size } = this.#bases[basis.id]!;
    this.#functions.sotto_mul(this.#ring, out, a, bMontgomery, at, size, 0);
  }

  mulAdd(out: Ptr, a: Ptr, bMontgomery: Ptr, basis: Basis): void {
    if (this.cold?.holds(bMontgomery)) {
      this.mulSum(out, [a], [bMontgomery], basis, true);
      return;
    }
    const { at, size } = this.#bases[basis.id]!;
    this.#functions.sotto_mul(this.#ring, out, a, bMontgomery, at, size, 1);
  }

  mulSum(
    out: Ptr,
    a: readonly Ptr[],
    bMontgomery: readonly Ptr[],
    basis: Basis,
    accumulate: boolean,
    runs?: readonly number[],
  ): void {
    const terms = a.map((at, i) => ({ a: at, b: bMontgomery[i]!, run: runs?.[i] ?? 1 }));
    // A long sum writes its output after every SUM_TERMS terms: those that read the output must come first.
    if (terms.length > SUM_TERMS) {
      const reads = (term: Term) => Number(term.a === out || term.b === out);
      terms.sort((x, y) => reads(y) - reads(x));
    }
    const { cold } = this;
    if (cold === null || !terms.some(({ b }) => cold.holds(b))) {
      this.#mulSum(out, terms, this.#bases[basis.id]!, accumulate);
    } else this.#mulSumCold(out, terms, this.#bases[basis.id]!, accumulate, cold);
  }

  #mulSum(out: Ptr, terms: readonly Term[], { at, size }: PlacedBasis, accumulate: boolean): void {
    const list = this.#machine.view(this.#stage, this.#checkStage(6 * terms.length));
    terms.forEach(({ a, b, run }, i) => {
      putAddress(list, 3 * i, a);
      putAddress(list, 3 * i + 1, b);
      putAddress(list, 3 * i + 2, Math.log2(run));
    });
    this.#functions.sotto_mul_sum(this.#ring, out, this.#stage, terms.length, at, size, Number(accumulate));
  }

  /** As many rows at a time as have room for copies of the cold factors, and no more terms than the C kernel adds up at once. */
  #mulSumCold(
    out: Ptr,
    terms: readonly Term[],
    basis: PlacedBasis,
    accumulate: boolean,
    cold: ColdMemory,
  ): void {
    const most = this.#coldRows(Math.min(terms.length, SUM_TERMS) * this.#n);
    for (let row = 0; row < basis.size; row += most) {
      const rows = Math.min(most, basis.size - row);
      for (let from = 0; from < terms.length; from += SUM_TERMS) {
        let copy = this.#scratch(rows * Math.min(terms.length, SUM_TERMS));
        const moved = terms.slice(from, from + SUM_TERMS).map(({ a, b, run }) => {
          const words = this.#n / run;
          const term = { a: a + row * this.#rowBytes, b: b + 4 * row * words, run };
          if (!cold.holds(b)) return term;
          this.#machine.view(copy, rows * words).set(cold.view(term.b, rows * words));
          term.b = copy;
          copy += 4 * rows * words;
          return term;
        });
        const part = { at: basis.at + 4 * row, size: rows };
        this.#mulSum(out + row * this.#rowBytes, moved, part, accumulate || from > 0);
      }
    }
  }

  mulConst(out: Ptr, a: Ptr, c: Uint32Array, basis: Basis): void {
    const { at, size } = this.#bases[basis.id]!;
    this.#functions.sotto_mul_const(this.#ring, out, a, this.#stageWords(c), at, size, 0);
  }

  mulConstAdd(out: Ptr, a: Ptr, c: Uint32Array, basis: Basis): void {
    const { at, size } = this.#bases[basis.id]!;
    this.#functions.sotto_mul_const(this.#ring, out, a, this.#stageWords(c), at, size, 1);
  }

  addConst(out: Ptr, a: Ptr, c: Uint32Array, basis: Basis): void {
    const { at, size } = this.#bases[basis.id]!;
    this.#functions.sotto_add_const(this.#ring, out, a, this.#stageWords(c), at, size);
  }

  tensor(
    d0: Ptr,
    d1: Ptr,
    d2: Ptr,
    a0: Ptr,
    a1: Ptr,
    b0: Ptr,
    b1: Ptr,
    basis: Basis,
    accumulate: boolean,
  ): void {
    const { at, size } = this.#bases[basis.id]!;
    const list = this.#stageAddresses([d0, d1, d2, a0, a1, b0, b1]);
    this.#functions.sotto_tensor(this.#ring, list, at, size, Number(accumulate));
  }

  permute(out: Ptr, a: Ptr, galois: number, basis: Basis): void {
    this.#functions.sotto_permute(this.#ring, out, a, galois, basis.size, this.#scratch(1));
  }

  extend(out: Ptr, to: Basis, x: Ptr, from: Basis): void {
    this.#runPlan(this.#extendPlan(to, from, from), [out], [x]);
  }

  divideRoundMany(outs: readonly Ptr[], to: Basis, xs: readonly Ptr[], from: Basis): void {
    const key = `d${to.id},${from.id}`;
    const kept = this.#plans.has(key) ? 0 : from.indices.filter((index) => to.indices.includes(index)).length;
    const divided = from.size - kept;
    const plan = this.#plan(key, divided, to.size, (memory) => {
      const [t, f] = [this.#bases[to.id]!, this.#bases[from.id]!];
      this.#functions.sotto_plan_divide(this.#ring, memory, t.at, t.size, f.at, f.size, divided);
    });
    this.#runPlan(plan, outs, xs);
  }

  decompose(outs: readonly Ptr[], to: Basis, x: Ptr, from: Basis, digits: readonly Basis[]): void {
    this.#switch(outs, to, x, from, digits, [0, 0, 0, 0, 0]);
  }

  keySwitch(
    o0: Ptr,
    o1: Ptr,
    outs: readonly Ptr[],
    to: Basis,
    x: Ptr,
    from: Basis,
    digits: readonly Basis[],
    key: Ptr,
    keyBasis: Basis,
    keyDigits: number,
  ): void {
    if (this.cold?.holds(key)) {
      this.decompose(outs, to, x, from, digits);
      this.innerProduct(o0, o1, outs, to, key, keyBasis, keyDigits, false);
    } else {
      this.#switch(outs, to, x, from, digits, [o0, o1, key, this.#rowMap(to, keyBasis), keyDigits]);
    }
  }

  #switch(
    outs: readonly Ptr[],
    to: Basis,
    x: Ptr,
    from: Basis,
    digits: readonly Basis[],
    product: readonly [o0: Ptr, o1: Ptr, key: Ptr, rows: Ptr, keyDigits: number],
  ): void {
    const plans = digits.map((digit) => this.#extendPlan(to, digit, from));
    const list = this.#stageAddresses([...plans, ...outs]);
    const scratch = this.#scratch(this.#functions.sotto_switch_rows(this.#ring, list, plans.length));
    const { at, size } = this.#bases[to.id]!;
    this.#functions.sotto_switch(this.#ring, list, plans.length, x, at, size, ...product, scratch);
  }

  /** Plan of the extension of the primes `from` of a polynomial over `whole`. */
  #extendPlan(to: Basis, from: Basis, whole: Basis): number {
    return this.#plan(`e${to.id},${from.id},${whole.id}`, from.size, to.size, (memory) => {
      const [t, f] = [this.#bases[to.id]!, this.#bases[from.id]!];
      const rows = this.#rowMap(from, whole);
      this.#functions.sotto_plan_extend(this.#ring, memory, t.at, t.size, f.at, f.size, rows);
    });
  }

  #runPlan(plan: number, outs: readonly Ptr[], xs: readonly Ptr[]): void {
    const scratch = this.#scratch(this.#functions.sotto_plan_rows(this.#ring, plan, outs.length));
    const list = this.#stageAddresses(outs.flatMap((out, i) => [out, xs[i]!]));
    this.#functions.sotto_run_plan(this.#ring, plan, list, outs.length, scratch);
  }

  innerProduct(
    o0: Ptr,
    o1: Ptr,
    digits: readonly Ptr[],
    basis: Basis,
    key: Ptr,
    keyBasis: Basis,
    keyDigits: number,
    accumulate: boolean,
  ): void {
    const { at, size } = this.#bases[basis.id]!;
    const add = Number(accumulate);
    const f = this.#functions.sotto_inner_product;
    if (!this.cold?.holds(key)) {
      const rows = this.#rowMap(basis, keyBasis);
      const list = this.#stageAddresses(digits);
      f(this.#ring, o0, o1, list, digits.length, at, size, key, rows, keyDigits, add);
      return;
    }
    const words = 2 * digits.length * this.#n;
    const most = Math.min(size, this.#coldRows(words));
    const copy = this.#scratch(2 * digits.length * most);
    const inOrder = this.#rowMap(basis, basis);
    for (let row = 0; row < size; row += most) {
      const rows = Math.min(most, size - row);
      for (let i = 0; i < rows; i++) {
        const keyRow = keyBasis.indices.indexOf(basis.indices[row + i]!);
        const source = this.cold.view(key + keyRow * keyDigits * 2 * this.#rowBytes, words);
        this.#machine.view(copy + 4 * i * words, words).set(source);
      }
      const offset = row * this.#rowBytes;
      const list = this.#stageAddresses(digits.map((digit) => digit + offset));
      f(
        this.#ring,
        o0 + offset,
        o1 + offset,
        list,
        digits.length,
        at + 4 * row,
        rows,
        copy,
        inOrder,
        digits.length,
        add,
      );
    }
  }

  embed(re: Float64Array, im: Float64Array | null, scale: number, turn: number): Float64Array {
    const slots = this.#n / 2;
    this.#roots ??= this.#placeWords(new Uint32Array(slotRoots(slots).buffer));
    const out = this.#scratch(4);
    const values = out + 2 * this.#rowBytes;
    const put = (at: number, part: Float64Array): void => {
      this.#machine.write(at, bytesOf(part.subarray(turn)));
      if (turn > 0) this.#machine.write(at + 8 * (part.length - turn), bytesOf(part.subarray(0, turn)));
    };
    put(values, re);
    const imaginary = values + this.#rowBytes;
    if (im !== null) put(imaginary, im);
    else this.#machine.view(imaginary, 2 * re.length).fill(0);
    const factor = this.#stageWords(new Uint32Array(Float64Array.of(scale).buffer));
    const logCount = Math.log2(re.length);
    this.#functions.sotto_embed(this.#ring, out, values, logCount, factor, this.#roots);
    return new Float64Array(this.#machine.read(out, 2 * this.#n).buffer);
  }

  liftDoubles(out: Ptr, coefficients: Float64Array, basis: Basis): void {
    const plan = this.#plan(`l${basis.id}`, 2, basis.size, (memory) => {
      const { at, size } = this.#bases[basis.id]!;
      this.#functions.sotto_plan_lift(this.#ring, memory, at, size);
    });
    const doubles = this.#scratch(2);
    this.#machine.write(doubles, bytesOf(coefficients));
    this.#functions.sotto_lift(this.#ring, plan, out, doubles);
  }

  uniform(out: Ptr, seed: Uint8Array, domain: number, basis: Basis): void {
    const { at, size } = this.#bases[basis.id]!;
    const view = new DataView(seed.buffer, seed.byteOffset, 32);
    const words = this.#stageWords(Uint32Array.from({ length: 8 }, (_, i) => view.getUint32(4 * i, true)));
    this.#functions.sotto_uniform(this.#ring, out, words, domain, at, size);
  }

  /** Memory of the backend itself, 64-byte aligned, never given back before the ring is. */
  #place(sizeBytes: number): number {
    const size = Math.ceil(sizeBytes / 64) * 64;
    if (size > this.#blockLeft) {
      const rows = Math.ceil(Math.max(size, BLOCK_BYTES) / this.#rowBytes);
      this.#blockAt = this.memory.alloc(rows, 'table');
      this.#blockLeft = rows * this.#rowBytes;
    }
    const at = this.#blockAt;
    this.#blockAt += size;
    this.#blockLeft -= size;
    return at;
  }

  #placeWords(words: Uint32Array): number {
    const at = this.#place(words.byteLength);
    this.write(at, words);
    return at;
  }

  #plan(key: string, sources: number, targets: number, fill: (memory: number) => void): number {
    const known = this.#plans.get(key);
    if (known !== undefined) return known;
    const memory = this.#place(this.#functions.sotto_plan_bytes(sources, targets));
    fill(memory);
    this.#plans.set(key, memory);
    return memory;
  }

  /** For each row of `small` its row in `large`. */
  #rowMap(small: Basis, large: Basis): number {
    const key = `${small.id},${large.id}`;
    const known = this.#rowMaps.get(key);
    if (known !== undefined) return known;
    const map = this.#placeWords(Uint32Array.from(small.indices, (index) => large.indices.indexOf(index)));
    this.#rowMaps.set(key, map);
    return map;
  }

  #scratch(rows: number): number {
    if (rows > this.#scratchRows) {
      if (this.#scratchRows > 0) this.memory.free(this.#scratchAt);
      this.#scratchRows = 0;
      this.#scratchAt = this.memory.alloc(rows, 'table');
      this.#scratchRows = rows;
    }
    return this.#scratchAt;
  }

  /** How many rows of cold data to copy at a time. */
  #coldRows(rowWords: number): number {
    return Math.max(1, Math.floor(COLD_COPY_BYTES / (4 * rowWords)));
  }

  /** Words wherever they are. */
  #view(at: Ptr, words: number): Uint32Array {
    return this.cold?.holds(at) ? this.cold.view(at, words) : this.#machine.view(at, words);
  }

  #stageWords(words: Uint32Array): number {
    this.#machine.view(this.#stage, words.length).set(words);
    return this.#stage;
  }

  #stageAddresses(addresses: readonly Ptr[]): number {
    const view = this.#machine.view(this.#stage, this.#checkStage(2 * addresses.length));
    for (let i = 0; i < addresses.length; i++) putAddress(view, i, addresses[i]!);
    return this.#stage;
  }

  #checkStage(words: number): number {
    if (words > STAGE_WORDS) {
      throw new SottoError('Too many operands in one kernel call.', {
        code: 'HE_RING_ARGUMENT',
        facts: { words, most: STAGE_WORDS },
        fix: 'Split the sum and accumulate.',
      });
    }
    return words;
  }
}

/** Addresses are 64-bit in lists on every machine. */
function putAddress(list: Uint32Array, at: number, address: Ptr): void {
  list[2 * at] = address;
  list[2 * at + 1] = Math.floor(address / 2 ** 32);
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float64Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);
