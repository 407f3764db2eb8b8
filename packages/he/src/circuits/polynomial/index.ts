export { evaluateChebyshev, evaluateChebyshevGuarded, type GuardedValue } from './evaluate.js';
export { type FitOptions, fitChebyshev } from './fit.js';
export { type ChebyshevPlan, planChebyshev } from './plan.js';
export { evaluateChebyshevProductGuarded } from './product.js';
export {
  type ChebyshevSeries,
  clenshaw,
  evaluateSeries,
  maxError,
  polynomialDepth,
  unitMap,
} from './series.js';
