package grid

import (
	"context"
	"fmt"
	"log/slog"

	"slapos/promise"
	"slapos/slap"
)

// PromisePass runs all promises of started partitions and changes nothing else:
// nothing is told to the master, and every failure counts as one of a promise
// (GRID-61).
func PromisePass(ctx context.Context, options Options) (Result, error) {
	p := newPass(options)
	defer p.close()
	p.Logger.Info("Processing promises...")
	partitions, err := p.openWanted(ctx)
	if err != nil {
		return Result{}, err
	}
	failures := make([]error, len(partitions))
	err = p.each(ctx, len(partitions), func(ctx context.Context, i int, log *slog.Logger) error {
		t := partitions[i]
		defer t.close()
		t.log = log.With("partition", t.id.Partition)
		if failures[i] = t.processPromises(ctx); failures[i] != nil {
			t.log.Error(failures[i].Error())
		}
		return nil
	})
	for _, t := range partitions {
		t.close()
	}
	result := sortFailures(partitions, failures)
	result.PromiseFailed = append(result.PromiseFailed, result.Failed...)
	result.Failed = nil
	if len(result.PromiseFailed) > 0 {
		p.Logger.Info("Finished computer partitions.")
		for _, f := range result.PromiseFailed {
			p.Logger.Info(fmt.Sprintf("  %s[%s]: %s", f.Item, f.Type, f.Err))
		}
	}
	return result, err
}

func (t *partition) processPromises(ctx context.Context) error {
	t.log.Info(fmt.Sprintf("Processing Promises for Computer Partition %s.", t.id.Partition))
	t.logPlaces()
	if t.wanted.RequestedState != slap.StateStarted {
		return nil
	}
	return t.runPromises(ctx, promise.Forced)
}
