import { z } from 'zod';
import { errorBodySchema, statusOfCode } from './errors.js';
import { type Body, type Route, routes } from './routes.js';

const schemaOf = (schema: z.ZodType) => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { target: 'draft-2020-12', unrepresentable: 'any' });
  return rest;
};

function contentOf(body: Body): Record<string, { schema: object }> {
  if (body === 'text') return { 'text/plain': { schema: { type: 'string' } } };
  if (body === 'part')
    return { 'application/offset+octet-stream': { schema: { type: 'string', format: 'binary' } } };
  if ('json' in body) return { 'application/json': { schema: schemaOf(body.json) } };
  if ('events' in body) {
    const description = 'Each data line is one event of this shape.';
    return { 'text/event-stream': { schema: { description, ...schemaOf(body.events) } } };
  }
  const description = `One frame of kind ${body.frame}: magic, version, kind, index, length, checksum, payload.`;
  return { 'application/octet-stream': { schema: { type: 'string', format: 'binary', description } } };
}

const errorContent = { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } };

function operationOf(route: Route): object {
  const names = [...route.path.matchAll(/:(\w+)/g)].map((match) => match[1]!);
  const byStatus = new Map<number, string[]>();
  for (const code of route.errors ?? []) {
    const status = statusOfCode(code);
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const errors = [...byStatus].map(([status, codes]) => [
    String(status),
    { description: codes.join(', '), content: errorContent },
  ]);
  const id = `${route.method}${route.path.replace(/[^A-Za-z]+(\w?)/g, (_, letter: string) => letter.toUpperCase())}`;
  return {
    operationId: id,
    summary: route.summary,
    security: route.token === 'none' ? [] : [{ [route.token]: [] }],
    ...(names.length === 0
      ? {}
      : {
          parameters: names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
        }),
    ...(route.request === undefined
      ? {}
      : { requestBody: { required: true, content: contentOf(route.request) } }),
    responses: {
      [route.status]: {
        description: route.summary,
        ...(route.answer === undefined ? {} : { content: contentOf(route.answer) }),
      },
      ...Object.fromEntries(errors),
      default: { description: 'What happened, facts, fix.', content: errorContent },
    },
  };
}

/** The protocol as an OpenAPI 3.1 document, made from the schemas that messages are checked with. */
export function openApiDocument(version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, '{$1}');
    paths[path] ??= {};
    paths[path][route.method] = operationOf(route);
  }
  const bearer = (description: string) => ({ type: 'http', scheme: 'bearer', description });
  return {
    openapi: '3.1.0',
    info: { title: 'Sotto', version, description: 'A server that computes on encrypted prompts.' },
    paths,
    components: {
      schemas: { Error: schemaOf(errorBodySchema) },
      securitySchemes: {
        client: bearer('Chosen by the client, 256 random bits in hex: says whose key sets are meant.'),
        session: bearer('Given when the session was opened, 256 random bits in hex.'),
      },
    },
  };
}
