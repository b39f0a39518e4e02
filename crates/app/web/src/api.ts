// The HTTP interface under /api/v1: its types, and one function a request.

export interface User {
  id: string;
  username: string;
  role: 'user' | 'operator' | 'auditor' | 'admin';
}

export interface Session {
  user: User;
  csrf: string;
}

export type Dialect = 'posix5' | 'quartz6';
export type Misfire = 'skip' | 'once' | 'all';

export interface NewSchedule {
  cron: string;
  dialect: Dialect;
  tz: string;
  title: string;
  body: string;
  channels: string[];
  misfire: Misfire;
}

export interface Schedule extends NewSchedule {
  id: string;
  version: number;
  user_id: string;
  enabled: boolean;
  next_fires: string[];
  created_at: string;
  updated_at: string;
}

export interface Preview {
  description: string;
  next_fires: string[];
}

export interface Notification {
  id: string;
  seq: number;
  user_id: string;
  title: string;
  body: string;
  topic: string | null;
  urgent: boolean;
  schedule_id: string | null;
  scheduled_for: string | null;
  created_at: string;
  read_at: string | null;
}

export interface Page<T> {
  items: T[];
  next: string | null;
}

/** Why a request failed: what to tell the user, and what is wrong with which field. */
export class ApiError extends Error {
  constructor(
    /** The HTTP status; 0 without a response. */
    readonly status: number,
    message: string,
    /** By field name. */
    readonly fields: Readonly<Record<string, string>> = {},
  ) {
    super(message);
  }

  static from(error: unknown): ApiError {
    return error instanceof ApiError ? error : new ApiError(0, String(error));
  }
}

const TIMEOUT_MS = 15_000;

interface RequestOptions {
  body?: unknown;
  ifMatch?: number;
  signal?: AbortSignal | undefined;
}

export class Api {
  #csrf: string | undefined;
  /** Called when the server no longer knows the session. */
  onSessionEnd: () => void = () => {};

  async setupNeeded(): Promise<boolean> {
    return (await this.#request<{ needed: boolean }>('GET', '/setup')).needed;
  }

  setUp(token: string, username: string, password: string): Promise<Session> {
    return this.#begin('/setup', { token, username, password });
  }

  logIn(username: string, password: string): Promise<Session> {
    return this.#begin('/auth/login', { username, password });
  }

  async logOut(): Promise<void> {
    await this.#request('POST', '/auth/logout');
    this.#csrf = undefined;
  }

  /** The session of the cookie, or `undefined` where nobody is logged in. */
  async session(): Promise<Session | undefined> {
    try {
      const session = await this.#request<Session>('GET', '/me');
      this.#csrf = session.csrf;
      return session;
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return undefined;
      throw error;
    }
  }

  schedules(cursor?: string): Promise<Page<Schedule>> {
    return this.#request('GET', `/schedules${query({ limit: '50', cursor })}`);
  }

  schedule(id: string): Promise<Schedule> {
    return this.#request('GET', `/schedules/${id}`);
  }

  createSchedule(schedule: NewSchedule): Promise<Schedule> {
    return this.#request('POST', '/schedules', { body: schedule });
  }

  previewSchedule(
    schedule: Pick<NewSchedule, 'cron' | 'dialect' | 'tz'>,
    signal: AbortSignal,
  ): Promise<Preview> {
    return this.#request('POST', '/schedules/preview', { body: { ...schedule, count: 5 }, signal });
  }

  pauseSchedule(id: string): Promise<Schedule> {
    return this.#request('POST', `/schedules/${id}/pause`);
  }

  resumeSchedule(id: string): Promise<Schedule> {
    return this.#request('POST', `/schedules/${id}/resume`);
  }

  runSchedule(id: string): Promise<void> {
    return this.#request('POST', `/schedules/${id}/run`);
  }

  deleteSchedule({ id, version }: Schedule): Promise<void> {
    return this.#request('DELETE', `/schedules/${id}`, { ifMatch: version });
  }

  notifications(options: { unread?: true; cursor?: string }): Promise<Page<Notification>> {
    const { cursor, unread } = options;
    return this.#request(
      'GET',
      `/notifications${query({ limit: '50', cursor, unread: unread && 'true' })}`,
    );
  }

  readNotification(id: string): Promise<Notification> {
    return this.#request('POST', `/notifications/${id}/read`);
  }

  readAllNotifications(): Promise<void> {
    return this.#request('POST', '/notifications/read-all');
  }

  async #begin(path: string, body: unknown): Promise<Session> {
    const session = await this.#request<Session>('POST', path, { body });
    this.#csrf = session.csrf;
    return session;
  }

  async #request<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
    const headers = new Headers({ accept: 'application/json' });
    if (options.body !== undefined) headers.set('content-type', 'application/json');
    if (options.ifMatch !== undefined) headers.set('if-match', `"${options.ifMatch}"`);
    if (method !== 'GET' && this.#csrf !== undefined) headers.set('x-csrf-token', this.#csrf);
    const timeout = AbortSignal.timeout(TIMEOUT_MS);
    let response: Response;
    try {
      response = await fetch(`/api/v1${path}`, {
        method,
        headers,
        body: options.body === undefined ? null : JSON.stringify(options.body),
        signal: options.signal ? AbortSignal.any([options.signal, timeout]) : timeout,
      });
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw new ApiError(0, 'The server cannot be reached. Try again in a moment.');
    }
    if (!response.ok) {
      const error = await toError(response);
      if (error.status === 401 && this.#csrf !== undefined) {
        this.#csrf = undefined;
        this.onSessionEnd();
      }
      throw error;
    }
    const text = await response.text();
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }
}

function query(parameters: Record<string, string | undefined>): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined);
  return `?${new URLSearchParams(given as [string, string][])}`;
}

/** Reads a problem (RFC 9457); anything else becomes one with its status. */
async function toError(response: Response): Promise<ApiError> {
  const problem: unknown = await response.json().catch(() => undefined);
  const { title, detail, errors } = (problem ?? {}) as {
    title?: string;
    detail?: string;
    errors?: { pointer: string; detail: string }[];
  };
  const message = detail ?? title ?? `The server answered ${response.status}.`;
  const fields = (errors ?? []).map(({ pointer, detail }) => [pointer.replace(/^#?\//, ''), sentence(detail)]);
  return new ApiError(response.status, sentence(message), Object.fromEntries(fields));
}

/** The server's messages are lower case without a full stop. */
function sentence(text: string): string {
  const start = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(start) ? start : `${start}.`;
}
