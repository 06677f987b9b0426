plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.kotlin.android)
}

android {
    namespace = "org.kerasrbcn.classify"
    compileSdk = 35

    defaultConfig {
        applicationId = "org.kerasrbcn.classify"
        // What Larq Compute Engine's releases are built for.
        minSdk = 30
        targetSdk = 35
        versionCode = 1
        versionName = "1.0"
        ndk {
            // Of x86, x86_64 and arm64-v8a, which the archive holds: phones, where
            // 1-bit convolutions are fast, and the emulator, where they are slow.
            abiFilters += listOf("arm64-v8a", "x86_64")
        }
    }
    buildTypes {
        release {
            isMinifyEnabled = false
        }
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
    kotlinOptions {
        jvmTarget = "17"
    }
    sourceSets {
        // What the app must compute, written by Python.
        getByName("test").resources.srcDir("../../vectors")
    }
}

// The bundle in the app tells which runtime its model was exported for.
val metadata = file("src/main/assets/bundle/metadata.json")
val forStockRuntime =
    metadata.exists() && metadata.readText().contains("\"runtime\": \"litert\"")

dependencies {
    implementation(libs.activity)
    // One of them, and no other library of TensorFlow Lite beside it: they hold the same
    // classes.
    if (forStockRuntime) implementation(libs.litert) else implementation(libs.lce)
    testImplementation(libs.junit)
    // Android's own is a stub outside a device.
    testImplementation(libs.json)
}
