package rego

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/heddle/heddle"
)

// Model is what begins rego's rows.
type Model struct {
	ID        uint // always 0
	CreatedAt time.Time
	UpdatedAt time.Time
	DeletedAt *time.Time
}

// TaskDefinition is a definition as rego shows and takes it. The names are seen by
// callers in the messages about what cannot be decoded.
type TaskDefinition struct {
	Model
	ID                uuid.UUID       `json:"id"`
	OrganizationID    string          `json:"organization_id,omitempty"`
	Image             string          `json:"image"`
	Name              string          `json:"name"`
	Namespace         string          `json:"namespace"`
	LatestStatus      string          `json:"latest_status"`
	ExecutionInterval int             `json:"execution_interval"`
	ExecutionsCounter int             `json:"execution_counter"`
	NextExecutionTime time.Time       `json:"next_execution_time"`
	Enabled           bool            `json:"enabled"`
	Deleted           bool            `json:"deleted"`
	Cmd               []string        `json:"cmd"`
	Metadata          json.RawMessage `json:"metadata"`
	// Schedule is an addition to rego's: what its interval cannot say.
	Schedule *heddle.Schedule `json:"schedule,omitempty"`
}

// TaskExecution is a run as rego shows it.
type TaskExecution struct {
	Model
	ID               string          `json:"id"`
	OrganizationID   string          `json:"organization_id,omitempty"`
	TaskDefinitionID string          `json:"task_definition_id"`
	StatusCode       heddle.Status   `json:"status_code"`
	Status           string          `json:"status"`
	Image            string          `json:"image,omitempty"`
	Name             string          `json:"name,omitempty"`
	Namespace        string          `json:"namespace,omitempty"`
	Cmd              []string        `json:"cmd"`
	Metadata         json.RawMessage `json:"metadata"`
}

// document is what is stored of a definition, and what its flow is read from: what
// the caller says of the work and of when it is done.
type document struct {
	Image             string           `json:"image"`
	Name              string           `json:"name"`
	Namespace         string           `json:"namespace"`
	ExecutionInterval int              `json:"execution_interval"`
	Cmd               []string         `json:"cmd"`
	Metadata          json.RawMessage  `json:"metadata"`
	Schedule          *heddle.Schedule `json:"schedule,omitempty"`
}

func (d *TaskDefinition) document() document {
	return document{Image: d.Image, Name: d.Name, Namespace: d.Namespace, ExecutionInterval: d.ExecutionInterval,
		Cmd: d.Cmd, Metadata: d.Metadata, Schedule: d.Schedule}
}

// schedule is when the definition runs: by its schedule, else every interval, else once.
func (d *document) schedule() (heddle.Schedule, error) {
	var s heddle.Schedule
	if d.Schedule != nil {
		s = *d.Schedule
	}
	timed := s.Once || !s.At.IsZero() || s.Every != 0 || s.Cron != "" || s.After != nil
	switch {
	case timed && d.ExecutionInterval > 0:
		return s, heddle.Errorf(heddle.CodeInvalid, "execution_interval and schedule both say when: leave one out")
	case d.ExecutionInterval > 0:
		s.Every = int64(min(d.ExecutionInterval, heddle.MaxSeconds))
	case !timed:
		s.Once = true
	}
	return s, s.Check()
}

// definitionRow is how a definition is shown.
func definitionRow(d *heddle.Definition) TaskDefinition {
	var doc document
	if d.Kind == heddle.KindTask && json.Unmarshal(d.Document, &doc) != nil {
		doc = document{} // it was stored by another front door
	}
	row := TaskDefinition{
		Model:          Model{CreatedAt: d.Created, UpdatedAt: d.Updated},
		OrganizationID: d.Organization, Image: doc.Image, Name: d.Name, Namespace: doc.Namespace,
		ExecutionInterval: doc.ExecutionInterval, ExecutionsCounter: int(d.Counter), NextExecutionTime: d.Next, Enabled: d.Enabled,
		Cmd: doc.Cmd, Metadata: doc.Metadata, Schedule: doc.Schedule,
	}
	if id, err := uuid.Parse(d.ID); err == nil {
		row.ID = id
	}
	if d.LatestStatus != 0 {
		row.LatestStatus = d.LatestStatus.String()
	}
	return row
}

// executionRow is how a run is shown.
func executionRow(d *heddle.RunDetail) TaskExecution {
	status := d.Status()
	row := TaskExecution{
		Model: Model{CreatedAt: d.Run.Created, UpdatedAt: d.Run.Created},
		ID:    string(d.Run.ID), OrganizationID: d.Run.Organization, TaskDefinitionID: d.Run.Definition,
		StatusCode: status, Status: status.String(), Name: d.Run.Name,
	}
	touch := func(times ...time.Time) {
		for _, t := range times {
			if t.After(row.UpdatedAt) {
				row.UpdatedAt = t
			}
		}
	}
	touch(d.Run.Started, d.Run.Ended)
	for i := range d.Attempts {
		touch(d.Attempts[i].Created, d.Attempts[i].Started, d.Attempts[i].Ended)
	}
	var doc document
	if d.Run.Kind == heddle.KindTask && d.Flow != nil && json.Unmarshal(d.Flow.Source, &doc) == nil {
		row.Image, row.Name, row.Namespace, row.Cmd, row.Metadata = doc.Image, doc.Name, doc.Namespace, doc.Cmd, doc.Metadata
	}
	return row
}
