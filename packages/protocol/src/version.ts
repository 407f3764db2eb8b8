/** Version of messages and frames; both sides refuse any other. */
export const PROTOCOL_VERSION = 1;
