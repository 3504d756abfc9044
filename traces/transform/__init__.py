"""From one trace to another: times, slices, copies, outputs. All pure."""
