/** Where the models of this package lie. */
export const dataFolder = new URL('../data/', import.meta.url);
