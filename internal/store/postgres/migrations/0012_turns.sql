-- +goose Up

-- Each organization has keys and pools of its own.
ALTER TABLE pools ADD COLUMN organization text COLLATE "C" NOT NULL DEFAULT 'default';
ALTER TABLE pools DROP CONSTRAINT pools_pkey;
ALTER TABLE pools ADD PRIMARY KEY (organization, name);

ALTER TABLE turns ADD COLUMN organization text COLLATE "C" NOT NULL DEFAULT 'default'; -- the run's
UPDATE turns t SET organization = r.organization FROM runs r WHERE r.id = t.run;
DROP INDEX turns_by_line;
CREATE INDEX turns_by_line ON turns (organization, pool, name, granted, n);
