//! Loops compiled once for each instruction set.

/// Defines a function whose body is compiled for every instruction set that `pulp` knows, the best of
/// which is chosen at run time. (A closure given to `pulp` may stay a call to code for the oldest one.)
/// Inner loops are written as `for`, for the same reason.
macro_rules! simd_fn {
    ($(#[$meta:meta])* $visible:vis fn $name:ident<$life:lifetime>($($argument:ident: $type:ty),+ $(,)?) $body:block) => {
        simd_fn! { $(#[$meta])* $visible fn $name<$life>($($argument: $type),+) -> () $body }
    };
    ($(#[$meta:meta])* $visible:vis fn $name:ident<$life:lifetime>($($argument:ident: $type:ty),+ $(,)?) -> $out:ty $body:block) => {
        $(#[$meta])*
        $visible fn $name<$life>($($argument: $type),+) -> $out {
            struct Task<$life>($($type,)+ std::marker::PhantomData<&$life ()>);
            impl<$life> pulp::NullaryFnOnce for Task<$life> {
                type Output = $out;
                #[inline(always)]
                fn call(self) -> $out {
                    let Self($($argument,)+ _) = self;
                    $body
                }
            }
            pulp::Arch::new().dispatch(Task($($argument,)+ std::marker::PhantomData))
        }
    };
}
pub(crate) use simd_fn;
