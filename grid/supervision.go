package grid

import (
	"context"

	"slapos/grid/supervisor"
	"slapos/manager"
)

type supervision struct{ options Options }

func newSupervision(options Options) *supervision { return &supervision{options} }

func (s *supervision) close() {}

func (s *supervision) writeConfiguration() error {
	layout := supervisor.Layout{InstanceRoot: s.options.InstanceRoot, Logger: s.options.Logger}
	return supervisor.WriteConfiguration(layout, s.options.Supervisor.WatchdogCommand)
}

type partitionSupervisor struct{ t *partition }

func (s *partitionSupervisor) SetGroup(ctx context.Context, suffix string, programs []manager.Program) error {
	return nil
}
func (s *partitionSupervisor) RemoveGroup(ctx context.Context, suffix string) error { return nil }
func (s *partitionSupervisor) NeverStarted(ctx context.Context, suffix, program string) (bool, error) {
	return false, nil
}
func (s *partitionSupervisor) Start(ctx context.Context, suffix, program string) error { return nil }
