//! The layers that papers call by name, over the tensor library; and Projection.
