-- +goose Up

-- Each organization has keys and pools of its own.
CREATE TABLE pools_of_organizations (
    organization TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    size         INTEGER NOT NULL,
    PRIMARY KEY (organization, name)
) WITHOUT ROWID;
INSERT INTO pools_of_organizations SELECT 'default', name, size FROM pools;
DROP TABLE pools;
ALTER TABLE pools_of_organizations RENAME TO pools;

ALTER TABLE turns ADD COLUMN organization TEXT NOT NULL DEFAULT 'default'; -- the run's
UPDATE turns SET organization = (SELECT r.organization FROM runs r WHERE r.id = turns.run);
DROP INDEX turns_by_line;
CREATE INDEX turns_by_line ON turns (organization, pool, name, granted, n);
