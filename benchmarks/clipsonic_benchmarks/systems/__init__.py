"""The systems, as `registry.SYSTEMS` names them."""
