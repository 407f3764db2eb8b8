// What `index.ts` is in a browser: replacing words and putting them back; files, audits and the making of tables need Node.
export { Desanitizer, type Substitution } from './desanitizer.js';
export { type Budget, Ledger, type Statement, verifyLedger } from './ledger/ledger.js';
export { type LedgerStorage, MemoryStorage } from './ledger/storage.js';
export { FixedReply, MemoContext, ReplyMemo } from './memo.js';
export {
  type Policy,
  type Receipt,
  type Sanitized,
  Sanitizer,
  type SanitizerOptions,
  type SanitizerTimes,
} from './sanitizer.js';
export { tableDigest } from './table/format.js';
export { blockEntropyBits } from './table/statistics.js';
