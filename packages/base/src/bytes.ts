import { SottoError } from './errors.js';

/** Writes little-endian fields into a growing buffer. */
export class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #length = 0;

  /** @param capacityBytes what is written without growing: what is as long as that is finished without a copy. */
  constructor(capacityBytes = 256) {
    this.#bytes = new Uint8Array(capacityBytes);
  }

  get length(): number {
    return this.#length;
  }

  #reserve(sizeBytes: number): number {
    const at = this.#length;
    if (at + sizeBytes > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(2 * this.#bytes.length, at + sizeBytes));
      grown.set(this.#bytes.subarray(0, at));
      this.#bytes = grown;
    }
    this.#length = at + sizeBytes;
    return at;
  }

  #view(sizeBytes: number): DataView {
    const at = this.#reserve(sizeBytes);
    return new DataView(this.#bytes.buffer, at, sizeBytes);
  }

  u8(value: number): this {
    this.#view(1).setUint8(0, value);
    return this;
  }

  u16(value: number): this {
    this.#view(2).setUint16(0, value, true);
    return this;
  }

  u32(value: number): this {
    this.#view(4).setUint32(0, value, true);
    return this;
  }

  f64(value: number): this {
    this.#view(8).setFloat64(0, value, true);
    return this;
  }

  bytes(value: Uint8Array): this {
    const at = this.#reserve(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** 32-bit words, little-endian. */
  words(value: Uint32Array): this {
    return this.bytes(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  }

  /** UTF-8 text behind a 16-bit length. */
  text(value: string): this {
    const encoded = new TextEncoder().encode(value);
    return this.u16(encoded.length).bytes(encoded);
  }

  /** Writes over what stands at a place. */
  setU32(at: number, value: number): this {
    new DataView(this.#bytes.buffer, 0, this.#length).setUint32(at, value, true);
    return this;
  }

  /** What was written so far: a view until more is written. */
  written(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  finish(): Uint8Array {
    return this.#length === this.#bytes.length ? this.#bytes : this.#bytes.slice(0, this.#length);
  }
}

/** Reads what {@link ByteWriter} wrote; every read is bounds-checked. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #what: string;
  #at = 0;

  /** @param what names the object in errors, e.g. "ciphertext". */
  constructor(bytes: Uint8Array, what: string) {
    // A Buffer would share memory where slice() must copy.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
  }

  get offset(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  #take(sizeBytes: number): number {
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0 || sizeBytes > this.remaining) {
      throw new SottoError(`The ${this.#what} is truncated.`, {
        code: 'DATA_TRUNCATED',
        facts: { offset: this.#at, neededBytes: sizeBytes, availableBytes: this.remaining },
        fix: 'Fetch or make the file again; it ended early.',
      });
    }
    const at = this.#at;
    this.#at += sizeBytes;
    return at;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  i32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }

  f32(): number {
    return this.#view.getFloat32(this.#take(4), true);
  }

  f64(): number {
    return this.#view.getFloat64(this.#take(8), true);
  }

  /** A view, not a copy. */
  bytes(sizeBytes: number): Uint8Array {
    const at = this.#take(sizeBytes);
    return this.#bytes.subarray(at, at + sizeBytes);
  }

  /** A copy of `count` little-endian 32-bit words. */
  words(count: number): Uint32Array {
    return new Uint32Array(this.bytes(4 * count).slice().buffer);
  }

  text(): string {
    return new TextDecoder('utf-8', { fatal: false }).decode(this.bytes(this.u16()));
  }

  /** Fails unless everything was read. */
  end(): void {
    if (this.remaining !== 0) {
      throw new SottoError(`The ${this.#what} has bytes after its end.`, {
        code: 'DATA_TRAILING_BYTES',
        facts: { offset: this.#at, extraBytes: this.remaining },
        fix: 'Fetch or make the file again.',
      });
    }
  }
}
