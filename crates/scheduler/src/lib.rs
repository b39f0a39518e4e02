//! Per-key cron jobs in one driver: a million schedules, right in every time zone, one claim an occurrence.
