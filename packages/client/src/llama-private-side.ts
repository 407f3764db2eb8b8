import { SottoError } from '@sotto/base';
import type { CreatePrivateSide } from './private-side.js';

export const createPrivateSide: CreatePrivateSide = async () => {
  throw new SottoError('Not wired yet.', { code: 'INTERNAL' });
};
