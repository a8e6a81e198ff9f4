-- +goose Up
CREATE TABLE IF NOT EXISTS "{name}_migrations" (
  version BIGINT NOT NULL PRIMARY KEY,
  applied_at BIGINT NOT NULL
);
INSERT INTO "{name}_migrations" (version, applied_at)
VALUES (1, CAST(strftime('%s', 'now') AS INTEGER) * 1000000) ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS "{name}" (
  id TEXT NOT NULL PRIMARY KEY,
  user_id TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  last_used_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  auth_time BIGINT NOT NULL,
  impersonation SMALLINT NOT NULL,
  actor TEXT NOT NULL,
  reason TEXT NOT NULL,
  created_by TEXT NOT NULL,
  parent_session_id TEXT,
  client_ip TEXT NOT NULL,
  client_user_agent TEXT NOT NULL,
  handoff_hash TEXT NOT NULL,
  handoff_expires_at BIGINT NOT NULL,
  handoff_uses BIGINT NOT NULL,
  current BIGINT NOT NULL,
  parent BIGINT NOT NULL,
  answered_at BIGINT NOT NULL,
  recoveries BIGINT NOT NULL,
  refresh_outcome BIGINT NOT NULL,
  ended_at BIGINT,
  end_reason TEXT NOT NULL,
  ended_by TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS "{name}_user_idx" ON "{name}" (user_id, created_at DESC, id DESC)
WHERE ended_at IS NULL;
CREATE INDEX IF NOT EXISTS "{name}_ended_idx" ON "{name}" (ended_at, id)
WHERE ended_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS "{name}_expires_idx" ON "{name}" (expires_at);
CREATE INDEX IF NOT EXISTS "{name}_parent_idx" ON "{name}" (parent_session_id)
WHERE parent_session_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS "{name}_audit" (
  id TEXT NOT NULL PRIMARY KEY,
  at BIGINT NOT NULL,
  type TEXT NOT NULL,
  session_id TEXT,
  user_id TEXT NOT NULL,
  actor TEXT NOT NULL,
  parent_session_id TEXT,
  reason TEXT NOT NULL,
  end_reason TEXT NOT NULL,
  by TEXT NOT NULL,
  client_ip TEXT NOT NULL,
  client_user_agent TEXT NOT NULL,
  refusal TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS "{name}_audit_user_idx" ON "{name}_audit" (user_id, at DESC, id DESC);
CREATE INDEX IF NOT EXISTS "{name}_audit_acts_idx" ON "{name}_audit" (actor, at DESC, id DESC);
