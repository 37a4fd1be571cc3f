//! cloud-controller-manager: the controllers that speak to a cloud.
