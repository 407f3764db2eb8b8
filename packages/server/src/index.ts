export { createApp } from './app.js';
export { type CountedRefresh, countSession, type SessionCounts } from './cost/count-session.js';
export {
  EXCHANGE_PLAN,
  EXCHANGE_WINDOW,
  type ExchangeSizes,
  exchangeEngine,
} from './cost/exchange-engine.js';
export { type KernelTiming, measureKernels, type Seconds, secondsOf } from './cost/measure-kernels.js';
export { forecastServer, type ServerCost, type ServerCostOptions } from './cost/session-cost.js';
export { describeBackend } from './engine/backend.js';
export { engineMemory, type MemoryForecast, serverMemoryForecast } from './engine/forecast.js';
export { availableMemoryBytes } from './engine/memory.js';
export type {
  BlockHooks,
  BlockResult,
  Engine,
  EngineDescription,
  EngineOptions,
  StartEngine,
} from './engine/port.js';
export { startProcessEngine } from './engine/process-engine.js';
export { KeyStore, type KeyStoreOptions, ownerOf } from './keys/key-store.js';
export { type LogFields, type Logger, lineLogger, silentLogger } from './log.js';
export { describeModel } from './model-info.js';
export { type RunningServer, type ServeOptions, serve } from './serve.js';
export { SessionStore } from './state/session-store.js';
export { continueText } from './text/continue-text.js';
export type { StartTextModel, TextEnd, TextHooks, TextModel, TextRequest } from './text/port.js';
export { TextService, type TextServiceOptions } from './text/text-service.js';
export { startWorkerTextModel } from './text/worker-text-model.js';
