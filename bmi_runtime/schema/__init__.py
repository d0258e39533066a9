"""The sections of the configuration; `bmi_runtime.config` puts them together, reads and checks them."""
