"""An agent, a source, a driver and a model for skyctl; docs/plugins.md says what each must do."""
