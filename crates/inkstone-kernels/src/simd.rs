//! Loops compiled once for each instruction set.

/// Defines a function whose body is compiled for every instruction set that `pulp` knows; which one runs
/// is [`crate::isa::isa`]'s choice. (A closure given to `pulp` may stay a call to code for the oldest one.)
/// Inner loops are written as `for`, for the same reason.
macro_rules! simd_fn {
    ($(#[$meta:meta])* $visible:vis fn $name:ident<$life:lifetime>($($argument:ident: $type:ty),+ $(,)?) $body:block) => {
        simd_fn! { @ [$(#[$meta])* $visible] [] $name<$life>($($argument: $type),+) -> () $body }
    };
    ($(#[$meta:meta])* $visible:vis fn $name:ident<$life:lifetime>($($argument:ident: $type:ty),+ $(,)?) -> $out:ty $body:block) => {
        simd_fn! { @ [$(#[$meta])* $visible] [] $name<$life>($($argument: $type),+) -> $out $body }
    };
    ($(#[$meta:meta])* $visible:vis unsafe fn $name:ident<$life:lifetime>($($argument:ident: $type:ty),+ $(,)?) $body:block) => {
        simd_fn! { @ [$(#[$meta])* $visible] [unsafe] $name<$life>($($argument: $type),+) -> () $body }
    };
    (@ [$($head:tt)*] [$($unsafe:tt)*] $name:ident<$life:lifetime>($($argument:ident: $type:ty),+) -> $out:ty $body:block) => {
        $($head)* $($unsafe)* fn $name<$life>($($argument: $type),+) -> $out {
            struct Task<$life>($($type,)+ std::marker::PhantomData<&$life ()>);
            impl<$life> pulp::NullaryFnOnce for Task<$life> {
                type Output = $out;
                #[inline(always)]
                fn call(self) -> $out {
                    let Self($($argument,)+ _) = self;
                    $body
                }
            }
            crate::isa::arch().dispatch(Task($($argument,)+ std::marker::PhantomData))
        }
    };
}
pub(crate) use simd_fn;
