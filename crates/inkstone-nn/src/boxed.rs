//! A part behind a pointer, for parts that hold parts of their own kind.

use burn::module::{Content, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor};
use burn::tensor::Device;

/// A module behind a pointer; its parameters have the names that they would have without it.
#[derive(Debug, Clone)]
pub struct Boxed<T>(Box<T>);

impl<T> Boxed<T> {
    /// Moves a module to the heap.
    pub fn new(module: T) -> Self {
        Self(Box::new(module))
    }

    fn with(self, change: impl FnOnce(T) -> T) -> Self {
        Self::new(change(*self.0))
    }
}

impl<T> std::ops::Deref for Boxed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Module> Module for Boxed<T> {
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        self.0.visit(visitor);
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        self.with(|module| module.map(mapper))
    }

    fn to_device(self, device: &Device) -> Self {
        self.with(|module| module.to_device(device))
    }

    fn fork(self, device: &Device) -> Self {
        self.with(|module| module.fork(device))
    }

    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        self.0.collect_devices(devices)
    }

    fn valid(&self) -> Self {
        Self::new(self.0.valid())
    }

    fn train(self) -> Self {
        self.with(Module::train)
    }

    fn materialize(self) -> Self {
        self.with(Module::materialize)
    }
}

impl<T: ModuleDisplay> ModuleDisplayDefault for Boxed<T> {
    fn content(&self, content: Content) -> Option<Content> {
        self.0.content(content)
    }
}

impl<T: ModuleDisplay> ModuleDisplay for Boxed<T> {}
