// Dates as people read them.

export const BROWSER_ZONE = new Intl.DateTimeFormat().resolvedOptions().timeZone;

/** Every zone that the browser knows, by region; UTC, which browsers leave out, first. */
export function zonesByRegion(): Map<string, string[]> {
  const zones = new Set(['UTC', BROWSER_ZONE, ...Intl.supportedValuesOf('timeZone')]);
  const regions = new Map<string, string[]>();
  for (const zone of zones) {
    const region = zone.includes('/') ? zone.slice(0, zone.indexOf('/')) : 'Universal';
    regions.set(region, [...(regions.get(region) ?? []), zone]);
  }
  for (const names of regions.values()) names.sort();
  return regions;
}

/** A moment in the browser's zone: the time alone today, else date and time. */
export function formatMoment(rfc3339: string): string {
  const date = new Date(rfc3339);
  const today = date.toDateString() === new Date().toDateString();
  return new Intl.DateTimeFormat(undefined, {
    ...(today ? {} : { dateStyle: 'medium' }),
    timeStyle: 'short',
  }).format(date);
}

/** A fire of a schedule, in the schedule's zone. */
export function formatFire(rfc3339: string, timeZone: string): string {
  const seconds = new Date(rfc3339).getUTCSeconds() !== 0;
  return new Intl.DateTimeFormat(undefined, {
    weekday: 'short',
    day: 'numeric',
    month: 'short',
    year: 'numeric',
    hour: 'numeric',
    minute: '2-digit',
    ...(seconds ? { second: '2-digit' } : {}),
    timeZone,
  }).format(new Date(rfc3339));
}
