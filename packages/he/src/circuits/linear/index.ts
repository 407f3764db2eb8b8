export {
  addMatrices,
  applyMatrix,
  composeMatrices,
  matrixFromEntries,
  matrixFromRows,
  scaleMatrix,
  smallestPeriod,
  transformRotations,
} from './matrix.js';
export { sumRotations, sumSlots } from './sum.js';
