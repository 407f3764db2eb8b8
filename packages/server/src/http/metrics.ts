/** A number that is read when metrics are asked for. */
interface Gauge {
  readonly name: string;
  readonly help: string;
  value(): number;
}

const BUCKETS_SECONDS = [0.005, 0.025, 0.1, 0.5, 2.5, 10, 60];

/** Backslash, quote and line break are escaped in label values (Prometheus text format 0.0.4). */
const label = (text: string) => text.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n');

/** What a server counts, in the text format of Prometheus. Labels are routes and codes, never identifiers. */
export class Metrics {
  readonly #gauges: readonly Gauge[];
  readonly #requests = new Map<string, number>();
  readonly #errors = new Map<string, number>();
  readonly #buckets = BUCKETS_SECONDS.map(() => 0);
  #seconds = 0;
  #count = 0;

  constructor(gauges: readonly Gauge[]) {
    this.#gauges = gauges;
  }

  countRequest(method: string, route: string, status: number, seconds: number): void {
    const key = `method="${label(method)}",route="${label(route)}",status="${status}"`;
    this.#requests.set(key, (this.#requests.get(key) ?? 0) + 1);
    this.#seconds += seconds;
    this.#count++;
    BUCKETS_SECONDS.forEach((limit, i) => {
      if (seconds <= limit) this.#buckets[i]!++;
    });
  }

  countError(code: string): void {
    this.#errors.set(code, (this.#errors.get(code) ?? 0) + 1);
  }

  text(): string {
    const lines: string[] = [];
    const head = (name: string, help: string, type: string) =>
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    head('sotto_http_requests_total', 'Requests by method, route and status.', 'counter');
    for (const [key, count] of this.#requests) lines.push(`sotto_http_requests_total{${key}} ${count}`);
    head('sotto_errors_total', 'Refused or failed requests by error code.', 'counter');
    for (const [code, count] of this.#errors)
      lines.push(`sotto_errors_total{code="${label(code)}"} ${count}`);
    head('sotto_http_request_seconds', 'Time until a request was answered, without its body.', 'histogram');
    BUCKETS_SECONDS.forEach((limit, i) => {
      lines.push(`sotto_http_request_seconds_bucket{le="${limit}"} ${this.#buckets[i]}`);
    });
    lines.push(
      `sotto_http_request_seconds_bucket{le="+Inf"} ${this.#count}`,
      `sotto_http_request_seconds_sum ${this.#seconds}`,
      `sotto_http_request_seconds_count ${this.#count}`,
    );
    for (const { name, help, value } of this.#gauges) {
      head(name, help, 'gauge');
      lines.push(`${name} ${value()}`);
    }
    return `${lines.join('\n')}\n`;
  }
}
