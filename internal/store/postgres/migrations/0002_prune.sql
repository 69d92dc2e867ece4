-- +goose Up

-- Deleting a run asks whether another has its flow.
CREATE INDEX runs_by_flow ON runs (flow);
