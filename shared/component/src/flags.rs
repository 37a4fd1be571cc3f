//! One flag table a component: each of upstream's flags is a row that works, is accepted with a warning, or is refused.
