//! Parameters by their Hugging Face names: the path of a weight through the modules' fields.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};

use crate::ops;

/// What is done with each parameter: its name, its shape, its values.
type Visit<'a> = &'a mut dyn FnMut(&str, &[usize], &[f32]);
/// What is done with each gradient: the parameter's name, the gradient.
type VisitGradient<'a> = &'a mut dyn FnMut(&str, Gradient);
/// What is done to each parameter: its name, its shape, its values.
type Update<'a> = &'a mut dyn FnMut(&str, &[usize], &mut [f32]);

/// Shows every parameter, in the order of the modules' fields.
pub fn visit_parameters<M: Module>(module: &M, visit: Visit<'_>) {
    module.visit(&mut Visitor { path: Path::default(), trainable: false, visit });
}

/// Shows those parameters that are trained, in the same order.
pub fn visit_trainable<M: Module>(module: &M, visit: Visit<'_>) {
    module.visit(&mut Visitor { path: Path::default(), trainable: true, visit });
}

/// Trains the parameters whose names `keep` accepts, and no others: they get no gradient.
pub fn train_only<M: Module>(module: M, keep: &dyn Fn(&str) -> bool) -> M {
    module.map(&mut Freezer { path: Path::default(), keep })
}

/// The gradient of a parameter, taken out of the graph.
#[derive(Debug)]
pub struct Gradient(FlexTensor);

impl Gradient {
    fn new<const D: usize>(tensor: Tensor<D>) -> Self {
        if let Ok(primitive) = tensor.clone().inner().try_into_primitive::<Flex>() {
            Self(ops::contiguous(primitive))
        } else {
            let values = tensor.into_data_as::<f32>().try_to_vec::<f32>().expect("invariant: converted to f32");
            Self(ops::flat(values))
        }
    }

    /// The values, in the order of the parameter's.
    pub fn values(&self) -> &[f32] {
        self.0.as_slice::<f32>().expect("invariant: a contiguous tensor of f32")
    }

    /// The values, to be changed in place.
    pub fn values_mut(&mut self) -> &mut [f32] {
        self.0.storage_mut::<f32>()
    }
}

/// Hands out the gradient of every parameter that has one, in the same order.
pub fn visit_gradients<M: Module>(module: &M, gradients: &mut Gradients, visit: VisitGradient<'_>) {
    module.visit(&mut GradientVisitor { path: Path::default(), gradients, visit });
}

/// Changes every parameter in place, in the same order.
pub fn update_parameters<M: Module>(module: M, update: Update<'_>) -> M {
    module.map(&mut Updater { path: Path::default(), trainable: false, update })
}

/// Changes those parameters in place that are trained, in the same order.
pub fn update_trainable<M: Module>(module: M, update: Update<'_>) -> M {
    module.map(&mut Updater { path: Path::default(), trainable: true, update })
}

#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    fn name(&self) -> String {
        let fields: Vec<&str> = self.0.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
        fields.join(".")
    }

    /// The variant of an enum has no name among the weights; a field called by a word of the language has an underscore
    /// after it. What stands inside an adapted projection has the names that it had before.
    fn enter(&mut self, name: &str, container: &str) {
        let nameless = container.starts_with("Enum:") || matches!(container, "Struct:Adapted" | "Struct:Extended");
        let name = if nameless { "" } else { name.trim_end_matches('_') };
        self.0.push(name.to_owned());
    }
}

struct Visitor<'a> {
    path: Path,
    trainable: bool,
    visit: Visit<'a>,
}

impl ModuleVisitor for Visitor<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.0.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if self.trainable && !value.is_require_grad() {
            return;
        }
        let shape = value.dims();
        with_values(value, |values| (self.visit)(&self.path.name(), &shape, values));
    }
}

struct GradientVisitor<'a> {
    path: Path,
    gradients: &'a mut Gradients,
    visit: VisitGradient<'a>,
}

impl ModuleVisitor for GradientVisitor<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.0.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad_remove(self.gradients) {
            (self.visit)(&self.path.name(), Gradient::new(gradient));
        }
    }
}

struct Freezer<'a> {
    path: Path,
    keep: &'a dyn Fn(&str) -> bool,
}

impl ModuleMapper for Freezer<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.0.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let keep = (self.keep)(&self.path.name());
        param.set_require_grad(keep)
    }
}

struct Updater<'a> {
    path: Path,
    trainable: bool,
    update: Update<'a>,
}

impl ModuleMapper for Updater<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.0.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let trained = param.is_require_grad();
        if self.trainable && !trained {
            return param;
        }
        let (id, value, mapper) = param.consume();
        let (shape, tracked) = (value.dims(), value.device().is_autodiff());
        let name = self.path.name();
        let value = match value.inner().try_into_primitive::<Flex>() {
            Ok(primitive) => {
                // Writes where the weight stands when nobody else holds it, and into a copy otherwise.
                let mut primitive = if primitive.is_contiguous() { primitive } else { primitive.to_contiguous() };
                (self.update)(&name, &shape, primitive.storage_mut::<f32>());
                Tensor::from_primitive::<Flex>(primitive)
            }
            Err(_) => unreachable!("parameters live on the CPU device"),
        };
        let value = if tracked { value.autodiff().set_require_grad(trained) } else { value };
        Param::from_mapped_value(id, value, mapper)
    }
}

/// The values of a tensor, without a copy on the CPU device.
pub(crate) fn with_values<const D: usize>(tensor: Tensor<D>, see: impl FnOnce(&[f32])) {
    match tensor.clone().inner().try_into_primitive::<Flex>() {
        Ok(primitive) => see(ops::contiguous(primitive).as_slice::<f32>().expect("invariant: made contiguous, in f32")),
        Err(_) => see(&tensor.into_data_as::<f32>().try_to_vec::<f32>().expect("invariant: converted to f32")),
    }
}
