// What arrives over /ws: the events of the user's own channel.

import { Centrifuge } from 'centrifuge';

import type { Notification } from './api.ts';

export type LiveState = 'connecting' | 'connected' | 'disconnected';

export type LiveEvent =
  | { type: 'notification'; notification: Notification }
  | { type: 'read'; ids: string[] }
  | { type: 'deleted'; ids: string[] };

export interface LiveListener {
  onState(state: LiveState): void;
  /** In the order of the channel; one may come twice. */
  onEvent(event: LiveEvent): void;
  /** Events before this moment may be missing: read the lists again. */
  onGap(): void;
  /** A connection failed, perhaps because the session ended. */
  onFailure(): void;
}

export interface Live {
  connect(): void;
  close(): void;
}

/** Connects by the session's cookie; the server subscribes the connection to the user's channel. */
export function openLive(userId: string, listener: LiveListener): Live {
  const channel = `user:${userId}`;
  const client = new Centrifuge(`${location.origin.replace(/^http/, 'ws')}/ws`, {
    name: 'dashboard',
  });
  let closed = false;

  client.on('state', ({ newState }) => {
    if (!closed) listener.onState(newState);
  });
  client.on('error', () => listener.onFailure());
  client.on('disconnected', () => {
    // The server said not to come back by itself.
    if (!closed) listener.onFailure();
  });
  client.on('subscribed', (context) => {
    const complete = context.wasRecovering && context.recovered;
    if (context.channel === channel && !complete) listener.onGap();
  });
  client.on('publication', (context) => {
    if (context.channel === channel && isEvent(context.data)) listener.onEvent(context.data);
  });
  client.connect();

  return {
    connect: () => client.connect(),
    close: () => {
      closed = true;
      client.disconnect();
      client.removeAllListeners();
    },
  };
}

/** Types that a later server adds are left alone. */
function isEvent(data: { type?: unknown }): data is LiveEvent {
  return data.type === 'notification' || data.type === 'read' || data.type === 'deleted';
}
